-- Moves an entry to the dead letters and tells the edge, where its address is known. The oldest letters are forgotten.
-- KEYS: features, notes, runs, dead, replies (only with a reply)
-- ARGV: group, consumer, id, dead letter, dead letters kept, note, reply, ms that unread replies are kept
-- The last three are left out where the address is unknown.
-- Returns how many letters were forgotten, -1 if another has the lease, -2 if the entry is gone
if not is_mine(KEYS[1], ARGV[1], ARGV[2], ARGV[3]) then
  return missed(KEYS[1], ARGV[3])
end
redis.call('XACK', KEYS[1], ARGV[1], ARGV[3])
redis.call('XDEL', KEYS[1], ARGV[3])
redis.call('HDEL', KEYS[3], ARGV[3])
redis.call('XADD', KEYS[4], '*', 'm', ARGV[4])
if KEYS[5] then
  forget_note(KEYS[2], ARGV[6], ARGV[3])
  reply(KEYS[5], ARGV[7], ARGV[8])
end
return redis.call('XTRIM', KEYS[4], 'MAXLEN', ARGV[5])
