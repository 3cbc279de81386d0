-- Tells for each note what became of its entry.
-- KEYS: features, notes, unread   ARGV: note...
-- Returns a list of 1 (it stands), 0 (it is gone), 2 (it is gone, because nobody could read whom to answer)
local states = {}
for position, note in ipairs(ARGV) do
  local noted = redis.call('HGET', KEYS[2], note)
  if not noted then
    states[position] = 0
  elseif #redis.pcall('XRANGE', KEYS[1], noted, noted) > 0 then
    states[position] = 1
  else
    states[position] = redis.call('SISMEMBER', KEYS[3], noted) == 1 and 2 or 0
  end
end
return states
