
-- Calls under way: `calls.rs`. A call has its place as long as its id is in the sorted set, and is known until it
-- has ended, or could not go on any more: a place lives for a short time only unless its process renews it.

-- `texts`, by id: what is known of each that this script is asked for, false if there is no such call. `new`: ids and
-- texts of those that began in this script.
local Calls = { count = 0, first_end = nil, begun = {}, ended = {}, texts = {}, new = {} }

-- Counts them. None: the set was lost, for it has its mark.
local function are_there()
  Calls.count = redis.call('ZCARD', ENDS) - 1
  return Calls.count >= 0
end

-- Those that began and ended in this script change the sorted set together.
local function write()
  in_portions('ZADD', ENDS, Calls.begun)
  in_portions('ZREM', ENDS, Calls.ended)
  Calls.begun, Calls.ended = {}, {}
end

-- Writes what is to be known of those that began or changed in this script, and have not ended in it.
local function write_new()
  local new, texts = Calls.new, Calls.texts
  for i = 1, #new, 2 do
    if texts[new[i]] ~= false then
      put('call.' .. new[i], new[i + 1])
    end
  end
end

-- Reads those that will be asked for.
local function load(ids)
  local texts = Calls.texts
  for from = 1, #ids, 1000 do
    local fields = {}
    for i = from, min(from + 999, #ids) do
      fields[i - from + 1] = 'call.' .. ids[i]
    end
    local values = redis.call('HMGET', STATE, unpack(fields))
    for i = 1, #fields do
      local id = ids[from + i - 1]
      if texts[id] == nil then
        texts[id] = values[i]
      end
    end
  end
end

-- When the first of them ends at the latest. There is one.
local function until_first_end()
  if not Calls.first_end then
    write()
    Calls.first_end = tonumber(redis.call('ZRANGE', ENDS, 0, 0, 'WITHSCORES')[2])
  end
  return Calls.first_end
end

-- `SLOT INPUT OUTPUT MONEY`, if its place must be renewed also ` LATEST_END`, and ` -` if it has none any more;
-- then a line for each part that limits it.
local function words_of(slot, ttl, spend, part_names)
  local words = format('%d %d %d %d', slot, spend.input, spend.output, spend.money)
  if ttl > LIFE then
    words = words .. ' ' .. text(slot + ttl)
  end
  return part_names[1] and words .. '\n' .. table.concat(part_names, '\n') or words
end

-- So many that are alike begin after the one with this number.
local function begin(last_id, count, slot, ttl, spend, part_names)
  local words, place_end = words_of(slot, ttl, spend, part_names), text(slot + min(ttl, LIFE))
  local begun, new, texts = Calls.begun, Calls.new, Calls.texts
  local b, n = #begun, #new
  for i = 1, count do
    local id = text(last_id + i)
    begun[b + 1], begun[b + 2] = place_end, id
    new[n + 1], new[n + 2] = id, words
    b, n = b + 2, n + 2
    if texts[id] ~= nil then
      texts[id] = words
    end
  end
  Calls.count, Calls.first_end = Calls.count + count, nil
end

-- The last call that was read. Those that began together have the same words.
local last = {}

-- What the words say. `latest`: when it has ended, if its place must be renewed until then.
local function read(words)
  if last.words ~= words then
    local slot, input, output, money, rest, part_lines = match(words, '^(%d+) (%d+) (%d+) (%d+)([^\n]*)(.*)$')
    local latest, mark = match(rest, '^ (%d+)(.*)$')
    local part_names = {}
    for name in gmatch(part_lines, '\n([^\n]*)') do
      part_names[#part_names + 1] = name
    end
    last = {
      words = words, slot = slot + 0, spend = Spend.new(input + 0, output + 0, money + 0), parts = part_names,
      latest = tonumber(latest), has_place = mark ~= ' -',
    }
  end
  return last
end

-- What is known of a call; nil if there is none, or it has ended for certain.
local function known(id, now)
  local words = Calls.texts[id]
  local call = words and read(words)
  return call and now < (call.latest or math.huge) and call or nil
end

-- Other words for a call.
local function rewrite(id, words)
  Calls.texts[id] = words
  Calls.new[#Calls.new + 1], Calls.new[#Calls.new + 2] = id, words
end

-- Slot, spend and parts of a call under way; nil if there is none.
local function under_way(id, now)
  local call = known(id, now)
  if call then
    return call.slot, call.spend, call.parts
  end
end

-- Ends a call, and those after it in the list that began as it did, but no more than `most`. Returns how many,
-- and their slot, spend and parts; 0 if there is no such call.
local function finish(ids, from, most, now)
  local ended, texts = Calls.ended, Calls.texts
  local call, count = known(ids[from], now), 0
  while call and count < most and texts[ids[from + count]] == call.words do
    local id = ids[from + count]
    count = count + 1
    ended[#ended + 1] = id
    removed[#removed + 1] = 'call.' .. id
    texts[id] = false
  end
  if count == 0 then
    return 0
  end
  Calls.count, Calls.first_end = Calls.count - (call.has_place and count or 0), nil
  return count, call.slot, call.spend, call.parts
end

Calls.are_there, Calls.write, Calls.write_new, Calls.load = are_there, write, write_new, load
Calls.until_first_end, Calls.begin, Calls.known, Calls.rewrite = until_first_end, begin, known, rewrite
Calls.under_way, Calls.finish = under_way, finish
return Calls
