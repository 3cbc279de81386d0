-- Leases that began in the future, because Redis' clock was set back, begin now: otherwise nobody could take them over
-- until the clock is there again. Redis shows them as not idle at all.
-- KEYS: features   ARGV: group, id to begin at, entries to look at   Returns the last id looked at, or false at the end
local pending = redis.pcall('XPENDING', KEYS[1], ARGV[1], ARGV[2], '+', ARGV[3])
if pending.err then
  return false
end
for _, entry in ipairs(pending) do
  if entry[3] == 0 then
    redis.call('XCLAIM', KEYS[1], ARGV[1], entry[2], 0, entry[1], 'IDLE', 1, 'JUSTID')
  end
end
return #pending == tonumber(ARGV[3]) and pending[#pending][1] or false
