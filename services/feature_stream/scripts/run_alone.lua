-- Counts the start of a lone run of an entry that this consumer already holds.
-- KEYS: features, runs   ARGV: group, consumer, id   Returns the history, or false if the lease is lost
if not is_mine(KEYS[1], ARGV[1], ARGV[2], ARGV[3]) then
  return false
end
redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[3], 'JUSTID')
return begin_run(KEYS[2], ARGV[2], ARGV[3], redis.call('HGET', KEYS[2], ARGV[3]) or '')
