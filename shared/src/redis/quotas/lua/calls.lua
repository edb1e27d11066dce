
-- Calls under way: `calls.rs`. A call is in the state as long as its id is in the sorted set.

-- By id: what is known of each, false if there is no such call.
local calls = { count = 0, first_end = nil, begun = {}, ended = {}, texts = {}, new = {} }

-- Those that began and ended in this script change the sorted set together.
local function write_calls()
  in_portions('ZADD', ENDS, calls.begun)
  in_portions('ZREM', ENDS, calls.ended)
  calls.begun, calls.ended = {}, {}
end

-- Writes what is to be known of those that began in this script.
local function write_new_calls()
  for id, words in pairs(calls.new) do
    write('call.' .. id, words)
  end
end

-- Forgets those whose time is over: their worker died.
local function count_calls(now)
  local over = redis.call('ZRANGEBYSCORE', ENDS, '-inf', text(now))
  in_portions('ZREM', ENDS, over)
  for _, id in ipairs(over) do
    removed[#removed + 1] = 'call.' .. id
    calls.texts[id] = false
  end
  calls.count = redis.call('ZCARD', ENDS) - 1
end

-- Reads those that will be asked for.
local function read_calls(ids)
  for from = 1, #ids, 1000 do
    local fields = {}
    for i = from, min(from + 999, #ids) do
      fields[#fields + 1] = 'call.' .. ids[i]
    end
    local values = redis.call('HMGET', STATE, unpack(fields))
    for i, words in ipairs(values) do
      local id = ids[from + i - 1]
      if calls.texts[id] == nil then
        calls.texts[id] = words
      end
    end
  end
end

-- When the first of them ends at the latest. There is one.
local function first_end()
  if not calls.first_end then
    write_calls()
    calls.first_end = tonumber(redis.call('ZRANGE', ENDS, 0, 0, 'WITHSCORES')[2])
  end
  return calls.first_end
end

-- `SLOT INPUT OUTPUT MONEY`, then a line for each part that limits it.
local function begin_call(id, slot, spend, part_names, latest_end)
  calls.count = calls.count + 1
  calls.first_end = nil
  calls.begun[#calls.begun + 1] = latest_end
  calls.begun[#calls.begun + 1] = id
  local words = format('%d %d %d %d', slot, spend.input, spend.output, spend.money)
  if part_names[1] then
    words = words .. '\n' .. table.concat(part_names, '\n')
  end
  calls.texts[id], calls.new[id] = words, words
end

-- Slot, spend and parts of a call under way; nil if there is none.
local function call_under_way(id)
  local words = calls.texts[id]
  if not words then
    return nil
  end
  local slot, input, output, money, part_lines = match(words, '^(%d+) (%d+) (%d+) (%d+)(.*)$')
  local part_names = {}
  for name in gmatch(part_lines, '\n([^\n]*)') do
    part_names[#part_names + 1] = name
  end
  return tonumber(slot), new_spend(tonumber(input), tonumber(output), tonumber(money)), part_names
end

-- The same for a call that ends now.
local function end_call(id)
  local slot, spend, part_names = call_under_way(id)
  if slot then
    calls.count = calls.count - 1
    calls.first_end = nil
    calls.ended[#calls.ended + 1] = id
    removed[#removed + 1] = 'call.' .. id
    calls.texts[id], calls.new[id] = false, nil
  end
  return slot, spend, part_names
end
