-- Adds an escalation unless its entry still stands, so that a retry never multiplies entries.
-- KEYS: features, notes   ARGV: note, message   Returns 1 if added, 0 if the entry stands
local noted = redis.call('HGET', KEYS[2], ARGV[1])
if noted and #redis.pcall('XRANGE', KEYS[1], noted, noted) > 0 then
  return 0
end
local id = redis.call('XADD', KEYS[1], '*', 'm', ARGV[2])
redis.call('HSET', KEYS[2], ARGV[1], id)
return 1
