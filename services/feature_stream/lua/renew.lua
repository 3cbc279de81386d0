-- Renews leases that are still this consumer's.
-- KEYS: features   ARGV: group, consumer, id...   Returns a list of 1 (renewed) | 0 (lost)
local renewed = {}
for position = 3, #ARGV do
  local mine = is_mine(KEYS[1], ARGV[1], ARGV[2], ARGV[position])
  if mine then
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[position], 'JUSTID')
  end
  renewed[position - 2] = mine and 1 or 0
end
return renewed
