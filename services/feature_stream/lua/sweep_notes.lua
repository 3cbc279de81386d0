-- Removes notes whose entry is gone without an answer, but those of entries that nobody could read: by these their edge
-- learns of it.
-- KEYS: features, notes, unread   ARGV: cursor, notes to look at   Returns the next cursor, "0" at the end
local page = redis.call('HSCAN', KEYS[2], ARGV[1], 'COUNT', ARGV[2])
for field = 1, #page[2], 2 do
  local id = page[2][field + 1]
  if #redis.pcall('XRANGE', KEYS[1], id, id) == 0 and redis.call('SISMEMBER', KEYS[3], id) == 0 then
    redis.call('HDEL', KEYS[2], page[2][field])
  end
end
return page[1]
