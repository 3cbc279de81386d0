-- Creates the group, and the stream, unless they stand. The first command removes what is never there: after a write a
-- full Redis refuses no other, and without its group nobody could drain it.
-- KEYS: features   ARGV: group   Returns 1 | 0 (it stands)
redis.call('XDEL', KEYS[1], '0-1')
local made = redis.pcall('XGROUP', 'CREATE', KEYS[1], ARGV[1], '0', 'MKSTREAM')
if type(made) ~= 'table' or not made.err then
  return 1
end
return string.find(made.err, 'BUSYGROUP', 1, true) and 0 or made
