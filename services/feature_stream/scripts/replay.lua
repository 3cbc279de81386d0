-- Puts the escalation of a dead letter back into the stream, unless its sample's entry stands there.
-- KEYS: dead, features, notes   ARGV: id of the letter, note, message
-- Returns 1, 0 (an entry stands), -1 (no such letter)
if #redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1]) == 0 then
  return -1
end
local noted = redis.call('HGET', KEYS[3], ARGV[2])
if noted and #redis.pcall('XRANGE', KEYS[2], noted, noted) > 0 then
  return 0
end
redis.call('XDEL', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[3], ARGV[2], redis.call('XADD', KEYS[2], '*', 'm', ARGV[3]))
return 1
