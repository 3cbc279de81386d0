-- Enters streams, seen now. The first command frees what is never there: after a write a full Redis refuses no other,
-- and this small set must be kept up to date then too.
-- KEYS: registry   ARGV: name...   Returns 1
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(0')
local now = redis.call('TIME')[1]
for _, name in ipairs(ARGV) do
  redis.call('ZADD', KEYS[1], now, name)
end
return 1
