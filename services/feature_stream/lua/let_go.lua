-- Removes what is left of a stream in which nothing waits and no dead letter lies.
-- KEYS: features, dead, others that go with them...   ARGV: "try" to only ask   Returns 1 | 0 (something is there)
if redis.call('XLEN', KEYS[1]) > 0 or redis.call('XLEN', KEYS[2]) > 0 then
  return 0
end
if ARGV[1] ~= 'try' then
  redis.call('DEL', unpack(KEYS))
end
return 1
