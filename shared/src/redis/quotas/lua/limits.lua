
-- What is limited, and meters of it: `meters.rs`.

-- What the line of an option says; empty if there is none.
local function option(lines, name)
  return match('\n' .. lines, '\n' .. name .. ' ([^\n]*)\n') or ''
end

-- Rates by scope (`u`, `t`, `m:NAME`) and dimension, the places, the text of the parts, and their longest window.
local function parse(lines)
  local limits, parts = { u = {}, longest = 0 }, {}
  local pattern = '(%a) (%a+) (%d+) (%d+) (%d+) %d+ ([^\n]*)\n'
  for scope, dimension, amount, window, bucket, name in gmatch(lines, pattern) do
    if dimension == 'places' then
      limits.places = tonumber(amount)
    else
      local key = scope == 'm' and 'm:' .. name or scope
      limits[key] = limits[key] or {}
      limits[key][dimension] = { amount = amount + 0, window = window + 0, bucket = bucket + 0 }
      if scope ~= 'u' then
        parts[#parts + 1] = table.concat({ key, dimension, amount, window, bucket }, ' ')
        limits.longest = max(limits.longest, tonumber(window))
      end
    end
  end
  limits.parts = table.concat(parts, '\n')
  limits.configured = {}
  for dimension in pairs(limits.u) do
    limits.configured[dimension] = true
  end
  local margin, burst = match(option(lines, 'discover'), '^(%d+) (%d+)$')
  limits.margin, limits.burst = tonumber(margin), tonumber(burst)
  return limits
end


-- The last one: most are alike.
local last_spend = { input = -1 }

local function new(input, output, money)
  if input == last_spend.input and output == last_spend.output and money == last_spend.money then
    return last_spend
  end
  input, output = min(input, MOST_UNITS), min(output, MOST_UNITS)
  money = min(money, MOST_UNITS)
  last_spend = { requests = 1, input = input, output = output, tokens = input + output, money = money }
  return last_spend
end

-- What the last two calls of this script set aside, the latest first.
local noted = {}

local function note(spend)
  noted[2], noted[1] = noted[1], spend
end

local function words(spend)
  return format('%d %d %d', spend.input, spend.output, spend.money)
end

-- Of all calls, in the state: `INPUT OUTPUT MONEY INPUT OUTPUT MONEY`.
local function write_latest()
  if noted[1] then
    local before = noted[2] and words(noted[2]) or match(state.latest, '^%d+ %d+ %d+') or '0 0 0'
    state.latest, noted = words(noted[1]) .. ' ' .. before, {}
  end
end

-- A state that has let nobody go would take the next call for one that uses nothing.
local function note_wish(spend)
  write_latest()
  if state.latest == '' or match(state.latest, ' 0 0 0$') then
    note(spend)
  end
end

local function too_small(meters, spend)
  for i = 1, #meters do
    local meter = meters[i]
    if not meter.is_found and spend[meter.dimension] > meter.amount then
      return { 4, LACKS[meter.dimension], meter.amount }
    end
  end
end

local function prepare(meters, spend, now)
  for i = 1, #meters do
    local meter = meters[i]
    Meter.prepare(meter, spend[meter.dimension], now)
  end
end

local function take(meters, spend, at, count)
  for i = 1, #meters do
    local meter = meters[i]
    Meter.take(meter, spend[meter.dimension], at, count)
  end
end

-- Calls at one time used something else than they reserved. Those that a meter has not counted do not change it.
local function correct(meters, ids, at, reserved, used)
  for _, meter in ipairs(meters) do
    if meter.dimension ~= 'requests' then
      local known = 0
      for i = 1, #ids do
        known = ids[i] > meter.after and known + 1 or known
      end
      Meter.correct(meter, at, reserved[meter.dimension], used[meter.dimension], known)
    end
  end
end

local function uncount(meters, id, at)
  for _, meter in ipairs(meters) do
    if meter.dimension == 'requests' and id > meter.after then
      Meter.put_back(meter, at)
    end
  end
end

local function idle_at(meters)
  local at = 0
  for _, meter in ipairs(meters) do
    at = max(at, Meter.idle_at(meter))
  end
  return at
end

return { option = option, parse = parse },
  { too_small = too_small, prepare = prepare, take = take, correct = correct, uncount = uncount, idle_at = idle_at },
  { new = new, note = note, write_latest = write_latest, note_wish = note_wish }
