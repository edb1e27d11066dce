
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

local function begin_call(id, slot, tokens, latest_end)
  calls.count = calls.count + 1
  calls.first_end = nil
  calls.begun[#calls.begun + 1] = text(latest_end)
  calls.begun[#calls.begun + 1] = text(id)
  redis.call('HSET', STATE, 'call.' .. text(id), text(slot) .. ' ' .. text(tokens))
end

-- Slot and tokens of a call that ends now; nil if there is none.
local function end_call(id)
  write_calls()
  if redis.call('ZREM', ENDS, id) == 0 then
    return nil
  end
  calls.count = calls.count - 1
  calls.first_end = nil
  removed[#removed + 1] = 'call.' .. id
  local slot, tokens = string.match(redis.call('HGET', STATE, 'call.' .. id), '^(%d+) (%d+)$')
  return tonumber(slot), tonumber(tokens)
end
