
-- Calls under way: `calls.rs`. A call is in the state as long as its id is in the sorted set.

-- By id: what is known of each, false if there is no such call.
local Calls = { count = 0, first_end = nil, begun = {}, ended = {}, texts = {}, new = {} }

-- Those that began and ended in this script change the sorted set together.
local function write()
  in_portions('ZADD', ENDS, Calls.begun)
  in_portions('ZREM', ENDS, Calls.ended)
  Calls.begun, Calls.ended = {}, {}
end

-- Writes what is to be known of those that began in this script.
local function write_new()
  for id, words in pairs(Calls.new) do
    put('call.' .. id, words)
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
  Calls.count = redis.call('ZCARD', ENDS) - 1
end

-- Reads those that will be asked for.
local function load(ids)
  for from = 1, #ids, 1000 do
    local fields = {}
    for i = from, min(from + 999, #ids) do
      fields[#fields + 1] = 'call.' .. ids[i]
    end
    local values = redis.call('HMGET', STATE, unpack(fields))
    for i, words in ipairs(values) do
      local id = ids[from + i - 1]
      if Calls.texts[id] == nil then
        Calls.texts[id] = words
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

local function begin(id, words, latest_end)
  Calls.count = Calls.count + 1
  Calls.first_end = nil
  Calls.begun[#Calls.begun + 1] = latest_end
  Calls.begun[#Calls.begun + 1] = id
  Calls.texts[id], Calls.new[id] = words, words
end

-- What the words say. Calls that began together have the same.
local function read(words)
  if Calls.last_words ~= words then
    local slot, input, output, money, part_lines = match(words, '^(%d+) (%d+) (%d+) (%d+)(.*)$')
    local part_names = {}
    for name in gmatch(part_lines, '\n([^\n]*)') do
      part_names[#part_names + 1] = name
    end
    Calls.last_words, Calls.last_slot, Calls.last_parts = words, tonumber(slot), part_names
    Calls.last_spend = Spend.new(tonumber(input), tonumber(output), tonumber(money))
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

-- The same for a call that ends now.
local function finish(id)
  local slot, spend, part_names = under_way(id)
  if slot then
    Calls.count = Calls.count - 1
    Calls.first_end = nil
    Calls.ended[#Calls.ended + 1] = id
    removed[#removed + 1] = 'call.' .. id
    Calls.texts[id], Calls.new[id] = false, nil
  end
  return slot, spend, part_names
end

Calls.write, Calls.write_new, Calls.forget_over, Calls.load = write, write_new, forget_over, load
Calls.words, Calls.begin, Calls.under_way, Calls.finish = words, begin, under_way, finish
Calls.until_first_end = until_first_end
return Calls
