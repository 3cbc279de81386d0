-- Tells for each note whether its entry still stands.
-- KEYS: features, notes   ARGV: note...   Returns a list of 1 | 0
local standing = {}
for position, note in ipairs(ARGV) do
  local noted = redis.call('HGET', KEYS[2], note)
  standing[position] = (noted and #redis.pcall('XRANGE', KEYS[1], noted, noted) > 0) and 1 or 0
end
return standing
