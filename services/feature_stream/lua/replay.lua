-- Puts the escalation of a dead letter back into the stream, unless its sample's entry stands there.
-- KEYS: dead, sizes of dead letters, features, notes   ARGV: id of the letter, note, message
-- Returns 1, 0 (an entry stands), -1 (no such letter)
if #redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1]) == 0 then
  return -1
end
local noted = redis.call('HGET', KEYS[4], ARGV[2])
if noted and #redis.pcall('XRANGE', KEYS[3], noted, noted) > 0 then
  return 0
end
remove_letter(KEYS[1], KEYS[2], ARGV[1])
redis.call('HSET', KEYS[4], ARGV[2], redis.call('XADD', KEYS[3], '*', 'm', ARGV[3]))
return 1
