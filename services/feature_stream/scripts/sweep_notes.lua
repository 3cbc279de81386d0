-- Removes notes whose entry is gone: of escalations that nobody could read, so that nobody knew their note.
-- KEYS: features, notes   ARGV: cursor, notes to look at   Returns the next cursor, "0" at the end
local page = redis.call('HSCAN', KEYS[2], ARGV[1], 'COUNT', ARGV[2])
for field = 1, #page[2], 2 do
  local id = page[2][field + 1]
  if #redis.pcall('XRANGE', KEYS[1], id, id) == 0 then
    redis.call('HDEL', KEYS[2], page[2][field])
  end
end
return page[1]
