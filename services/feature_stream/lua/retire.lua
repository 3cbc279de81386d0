-- Deletes this consumer, and those silent for long (killed ones), where nothing is pending for them.
-- KEYS: features   ARGV: group, consumer ('' for none), silent ms   Returns how many were deleted
local consumers = redis.pcall('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])
if consumers.err then
  return 0
end
local deleted = 0
for _, pairs_of in ipairs(consumers) do
  local consumer = {}
  for field = 1, #pairs_of, 2 do
    consumer[pairs_of[field]] = pairs_of[field + 1]
  end
  if consumer.pending == 0 and (consumer.name == ARGV[2] or consumer.idle >= tonumber(ARGV[3])) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], consumer.name)
    deleted = deleted + 1
  end
end
return deleted
