-- Notes why a lone run failed and lets the lease lapse after a pause, for whoever comes first.
-- KEYS: features, runs   ARGV: group, consumer, id, error, idle ms that the lease shall have by now   Returns 1 | 0
if not is_mine(KEYS[1], ARGV[1], ARGV[2], ARGV[3]) then
  return 0
end
redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[3], 'IDLE', ARGV[5], 'JUSTID')
local history = redis.call('HGET', KEYS[2], ARGV[3])
if history then
  redis.call('HSET', KEYS[2], ARGV[3], history .. ': ' .. ARGV[4])
end
return 1
