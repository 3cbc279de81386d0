-- Takes back the start of a lone run that could not be tried. The lease is left to lapse. It frees before it writes, as
-- answer.lua does.
-- KEYS: features, runs   ARGV: group, consumer, id, history as it was before   Returns 1 | 0 (the lease is lost)
if not is_mine(KEYS[1], ARGV[1], ARGV[2], ARGV[3]) then
  return 0
end
redis.call('HDEL', KEYS[2], ARGV[3])
if ARGV[4] ~= '' then
  redis.call('HSET', KEYS[2], ARGV[3], ARGV[4])
end
return 1
