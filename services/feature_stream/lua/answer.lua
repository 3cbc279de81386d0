-- Answers an entry and leaves nothing of it behind. It frees before it writes: a full Redis refuses only scripts whose
-- first write needs memory.
-- KEYS: features, notes, runs, replies   ARGV: group, consumer, id, note, reply, ms that unread replies are kept
-- Returns the entry's age in ms, -1 if another has the lease, -2 if the entry is gone
if not is_mine(KEYS[1], ARGV[1], ARGV[2], ARGV[3]) then
  return missed(KEYS[1], ARGV[3])
end
redis.call('XACK', KEYS[1], ARGV[1], ARGV[3])
redis.call('XDEL', KEYS[1], ARGV[3])
forget_note(KEYS[2], ARGV[4], ARGV[3])
redis.call('HDEL', KEYS[3], ARGV[3])
reply(KEYS[4], ARGV[5], ARGV[6])
local now = redis.call('TIME')
return math.max(0, now[1] * 1000 + math.floor(now[2] / 1000) - string.match(ARGV[3], '^%d+'))
