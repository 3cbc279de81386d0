-- Forgets a stream unless an edge has entered it meanwhile.
-- KEYS: registry   ARGV: name, seconds   Returns 1 | 0
local seen = redis.call('ZSCORE', KEYS[1], ARGV[1])
if seen and tonumber(seen) <= redis.call('TIME')[1] - ARGV[2] then
  return redis.call('ZREM', KEYS[1], ARGV[1])
end
return 0
