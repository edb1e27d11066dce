
-- Calls under way: `calls.rs`. A call is in the state as long as its id is in the sorted set.

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

-- Writes what is to be known of those that began in this script, and have not ended in it.
local function write_new()
  local new, texts = Calls.new, Calls.texts
  for i = 1, #new, 2 do
    if texts[new[i]] ~= false then
      put('call.' .. new[i], new[i + 1])
    end
  end
end

-- Forgets those whose time is over: their worker died.
local function forget_over(now)
  local over = redis.call('ZRANGEBYSCORE', ENDS, '-inf', text(now))
  in_portions('ZREM', ENDS, over)
  for _, id in ipairs(over) do
    removed[#removed + 1] = 'call.' .. id
    Calls.texts[id] = false
  end
  Calls.count = Calls.count - #over
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

-- `SLOT INPUT OUTPUT MONEY`, then a line for each part that limits it.
local function words(slot, spend, part_names)
  local words = format('%d %d %d %d', slot, spend.input, spend.output, spend.money)
  return part_names[1] and words .. '\n' .. table.concat(part_names, '\n') or words
end

-- So many begin after the one with this number.
local function begin(last_id, count, words, latest_end)
  local begun, new, texts = Calls.begun, Calls.new, Calls.texts
  local b, n = #begun, #new
  for i = 1, count do
    local id = text(last_id + i)
    begun[b + 1], begun[b + 2] = latest_end, id
    new[n + 1], new[n + 2] = id, words
    b, n = b + 2, n + 2
    if texts[id] ~= nil then
      texts[id] = words
    end
  end
  Calls.count, Calls.first_end = Calls.count + count, nil
end

-- What the words say. Calls that began together have the same.
local function read(words)
  if Calls.last_words ~= words then
    local slot, input, output, money, part_lines = match(words, '^(%d+) (%d+) (%d+) (%d+)(.*)$')
    local part_names = {}
    for name in gmatch(part_lines, '\n([^\n]*)') do
      part_names[#part_names + 1] = name
    end
    Calls.last_words, Calls.last_slot, Calls.last_parts = words, slot + 0, part_names
    Calls.last_spend = Spend.new(input + 0, output + 0, money + 0)
  end
  return Calls.last_slot, Calls.last_spend, Calls.last_parts
end

-- Slot, spend and parts of a call under way; nil if there is none.
local function under_way(id)
  local words = Calls.texts[id]
  if words then
    return read(words)
  end
end

-- Ends a call, and those after it in the list that began as it did, but no more than `most`. Returns how many,
-- and their slot, spend and parts; 0 if there is no such call.
local function finish(ids, from, most)
  local ended, texts = Calls.ended, Calls.texts
  local words, count = texts[ids[from]], 0
  while words and count < most and texts[ids[from + count]] == words do
    local id = ids[from + count]
    count = count + 1
    ended[#ended + 1] = id
    removed[#removed + 1] = 'call.' .. id
    texts[id] = false
  end
  if count == 0 then
    return 0
  end
  Calls.count, Calls.first_end = Calls.count - count, nil
  return count, read(words)
end

Calls.are_there, Calls.write, Calls.write_new, Calls.forget_over = are_there, write, write_new, forget_over
Calls.load, Calls.until_first_end, Calls.words, Calls.begin = load, until_first_end, words, begin
Calls.under_way, Calls.finish = under_way, finish
return Calls
