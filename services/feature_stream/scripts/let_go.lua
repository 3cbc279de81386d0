-- Removes what is left of a stream in which nothing waits and no dead letter lies.
-- KEYS: features, notes, runs, dead   ARGV: "try" to only ask   Returns 1 | 0 (something is there)
if redis.call('XLEN', KEYS[1]) > 0 or redis.call('XLEN', KEYS[4]) > 0 then
  return 0
end
if ARGV[1] ~= 'try' then
  redis.call('DEL', KEYS[1], KEYS[2], KEYS[3], KEYS[4])
end
return 1
