-- Tells which streams no edge has entered for so long.
-- KEYS: registry   ARGV: seconds   Returns names
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', redis.call('TIME')[1] - ARGV[1])
