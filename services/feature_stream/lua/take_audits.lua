-- Takes the oldest audits out of their stream.
-- KEYS: audit   ARGV: entries at most   Returns a list of {id, message}; an empty message where an entry has another form
local taken = {}
for position, entry in ipairs(redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', ARGV[1])) do
  local message = ''
  for field = 1, #entry[2], 2 do
    if entry[2][field] == 'm' then
      message = entry[2][field + 1]
    end
  end
  redis.call('XDEL', KEYS[1], entry[1])
  taken[position] = {entry[1], message}
end
return taken
