-- Moves an entry to the dead letters and tells the edge, where its address is known.
-- KEYS: features, notes, runs, dead, replies (only with a reply)   ARGV: group, consumer, id, dead letter, note, reply
-- Note and reply are left out where the address is unknown. Returns 1, or 0 if the lease is lost
if not is_mine(KEYS[1], ARGV[1], ARGV[2], ARGV[3]) then
  return 0
end
redis.call('XACK', KEYS[1], ARGV[1], ARGV[3])
redis.call('XDEL', KEYS[1], ARGV[3])
redis.call('HDEL', KEYS[3], ARGV[3])
redis.call('XADD', KEYS[4], '*', 'm', ARGV[4])
if KEYS[5] then
  forget_note(KEYS[2], ARGV[5], ARGV[3])
  redis.call('XADD', KEYS[5], '*', 'm', ARGV[6])
end
return 1
