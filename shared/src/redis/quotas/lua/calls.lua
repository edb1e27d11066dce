
-- Calls under way: `calls.rs`.

local calls = { count = 0, first_end = nil, begun = {} }

-- Those begun by this script go to the sorted set together.
local function write_calls()
  in_portions('ZADD', ENDS, calls.begun)
  calls.begun = {}
end

-- Forgets those whose time is over: their worker died.
local function count_calls(now)
  local over = redis.call('ZRANGEBYSCORE', ENDS, '-inf', text(now))
  in_portions('ZREM', ENDS, over)
  for _, id in ipairs(over) do
    removed[#removed + 1] = 'call.' .. id
  end
  calls.count = redis.call('ZCARD', ENDS) - 1
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
  calls.begun[#calls.begun + 1] = text(latest_end)
  calls.begun[#calls.begun + 1] = text(id)
  local numbers = { text(slot), text(spend.input), text(spend.output), text(spend.money) }
  local lines = { table.concat(numbers, ' '), unpack(part_names) }
  redis.call('HSET', STATE, 'call.' .. text(id), table.concat(lines, '\n'))
end

local function read_call(id)
  local numbers, part_lines = string.match(redis.call('HGET', STATE, 'call.' .. id), '^([^\n]*)(.*)$')
  local slot, input, output, money = string.match(numbers, '^(%d+) (%d+) (%d+) (%d+)$')
  local part_names = {}
  for name in string.gmatch(part_lines, '\n([^\n]*)') do
    part_names[#part_names + 1] = name
  end
  return tonumber(slot), new_spend(tonumber(input), tonumber(output), tonumber(money)), part_names
end

-- Slot and parts of a call under way; nil if there is none.
local function slot_of(id)
  write_calls()
  if redis.call('ZSCORE', ENDS, id) then
    local slot, _, part_names = read_call(id)
    return slot, part_names
  end
end

-- Slot, spend and parts of a call that ends now; nil if there is none.
local function end_call(id)
  write_calls()
  if redis.call('ZREM', ENDS, id) == 0 then
    return nil
  end
  calls.count = calls.count - 1
  calls.first_end = nil
  removed[#removed + 1] = 'call.' .. id
  return read_call(id)
end
