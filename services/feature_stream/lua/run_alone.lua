-- Counts the start of a lone run of an entry that this consumer already holds. A call that is repeated, because its
-- answer was lost, counts once.
-- KEYS: features, runs   ARGV: group, consumer, id, runs counted before   Returns the history, or false if the lease is
-- lost
if not is_mine(KEYS[1], ARGV[1], ARGV[2], ARGV[3]) then
  return false
end
redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[3], 'JUSTID')
local history = redis.call('HGET', KEYS[2], ARGV[3]) or ''
if count_runs(history) > tonumber(ARGV[4]) then
  return history
end
return begin_run(KEYS[2], ARGV[2], ARGV[3], history)
