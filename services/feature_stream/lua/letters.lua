-- Put before each script that adds or removes dead letters. A list beside them holds the sum of their bytes and, after
-- it, "ID BYTES" of each, the newest first: who may only add letters can neither read them nor ask for their sizes.
local function take_sum(sizes)
  return tonumber(redis.call('LPOP', sizes) or 0) or 0
end

local function put_sum(sizes, sum)
  if redis.call('LLEN', sizes) > 0 then
    redis.call('LPUSH', sizes, string.format('%.0f', sum))
  end
end

-- Adds a letter, then forgets the oldest beyond so many or so many bytes. Returns how many.
local function add_letter(dead, sizes, letter, letters_max, bytes_max)
  local id = redis.call('XADD', dead, '*', 'm', letter)
  local sum = take_sum(sizes) + #letter
  redis.call('LPUSH', sizes, id .. ' ' .. #letter)
  local forgotten = redis.call('XTRIM', dead, 'MAXLEN', letters_max)
  -- Whatever went, by the trimming or by another hand, is taken for the oldest; letters before the list have no size.
  while redis.call('LLEN', sizes) > redis.call('XLEN', dead) do
    sum = sum - string.match(redis.call('RPOP', sizes), '%d+$')
  end
  while sum > bytes_max and redis.call('LLEN', sizes) > 0 do
    local ms, number, bytes = string.match(redis.call('RPOP', sizes), '^(%d+)%-(%d+) (%d+)$')
    sum = sum - bytes
    local next_id = ms .. '-' .. string.format('%.0f', number + 1)
    forgotten = forgotten + redis.call('XTRIM', dead, 'MINID', next_id)
  end
  put_sum(sizes, sum)
  return forgotten
end

-- Removes a letter. Returns 1 | 0 (there is no such letter)
local function remove_letter(dead, sizes, id)
  local letter = redis.call('XRANGE', dead, id, id)[1]
  if not letter then
    return 0
  end
  redis.call('XDEL', dead, id)
  local bytes = 0
  for field = 1, #letter[2], 2 do
    if letter[2][field] == 'm' then
      bytes = #letter[2][field + 1]
    end
  end
  if redis.call('LREM', sizes, -1, id .. ' ' .. bytes) > 0 then
    put_sum(sizes, take_sum(sizes) - bytes)
  end
  return 1
end
