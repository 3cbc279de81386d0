-- Moves an entry to the dead letters and tells the edge. Where its address cannot be read, the entry's id is set down:
-- the edge knows the ids of its entries by their notes. The oldest letters are forgotten.
-- KEYS: features, notes, runs, dead, sizes of dead letters, unread, replies (only with a reply)
-- ARGV: group, consumer, id, dead letter, dead letters kept, bytes of them kept, ms that unread replies are kept, note,
-- reply (the last two only with a reply)
-- Returns how many letters were forgotten, -1 if another has the lease, -2 if the entry is gone
if not is_mine(KEYS[1], ARGV[1], ARGV[2], ARGV[3]) then
  return missed(KEYS[1], ARGV[3])
end
redis.call('XACK', KEYS[1], ARGV[1], ARGV[3])
redis.call('XDEL', KEYS[1], ARGV[3])
redis.call('HDEL', KEYS[3], ARGV[3])
if KEYS[7] then
  forget_note(KEYS[2], ARGV[8], ARGV[3])
  reply(KEYS[7], ARGV[9], ARGV[7])
else
  -- Never more ids than letters: those that an edge misses so are of samples that it sends once more.
  if redis.call('SCARD', KEYS[6]) >= tonumber(ARGV[5]) then
    redis.call('DEL', KEYS[6])
  end
  redis.call('SADD', KEYS[6], ARGV[3])
  redis.call('PEXPIRE', KEYS[6], ARGV[7])
end
return add_letter(KEYS[4], KEYS[5], ARGV[4], ARGV[5], tonumber(ARGV[6]))
