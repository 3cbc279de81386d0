-- Answers an entry and leaves nothing of it behind. It frees before it writes: a full Redis refuses only scripts whose
-- first write needs memory.
-- KEYS: features, notes, runs, replies   ARGV: group, consumer, id, note, reply
-- Returns the entry's age in ms, or -1 if the lease is lost
if not is_mine(KEYS[1], ARGV[1], ARGV[2], ARGV[3]) then
  return -1
end
redis.call('XACK', KEYS[1], ARGV[1], ARGV[3])
redis.call('XDEL', KEYS[1], ARGV[3])
forget_note(KEYS[2], ARGV[4], ARGV[3])
redis.call('HDEL', KEYS[3], ARGV[3])
redis.call('XADD', KEYS[4], '*', 'm', ARGV[5])
local now = redis.call('TIME')
return math.max(0, now[1] * 1000 + math.floor(now[2] / 1000) - string.match(ARGV[3], '^%d+'))
