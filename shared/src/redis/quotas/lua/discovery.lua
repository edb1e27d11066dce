
-- Limits that nobody configured: `discovery.rs`. In the state, `learned` is `AMOUNT STEP SINCE
-- CALLS`, `stated` any number of `DIMENSION AMOUNT WINDOW AT;`. Both are read when they are needed.

local FIRST, DOUBLINGS, MOST_FOUND = 60, 6, 2 ^ 30

-- Reads what was found until now.
local function read(now)
  found = { stated = {}, learned = { FIRST, 0, now, 0 } }
  local amount, step, since, calls = match(state.learned, '^(%d+) (%d+) (%d+) (%d+)$')
  if amount then
    found.learned = { tonumber(amount), tonumber(step), tonumber(since), tonumber(calls) }
  end
  for dimension, limit, window, at in gmatch(state.stated, '(%a+) (%d+) (%d+) (%d+);') do
    found.stated[dimension] = { amount = tonumber(limit), window = tonumber(window), at = tonumber(at) }
  end
end

local function is_learning()
  return not limits.configured.requests and not found.stated.requests
end

-- Rates by dimension, as they are metered.
local function rates()
  local rates = {}
  local function meter(amount, window, learned)
    return {
      amount = amount, window = window + floor(window * limits.margin / 10000), stated_window = window,
      bucket = max(floor(amount * limits.burst / 10000), 1), learned = learned,
    }
  end
  for dimension, stated in pairs(found.stated) do
    rates[dimension] = meter(stated.amount, stated.window, false)
  end
  if is_learning() then
    rates.requests = meter(found.learned[1], MINUTE, true)
  end
  return rates
end

local function taken()
  if is_learning() then
    found.learned[4] = found.learned[4] + 1
  end
end

-- These say whether they changed anything.
local function grow(now)
  local amount, step, since, calls = unpack(found.learned)
  local portions = step == 0 and DOUBLINGS or 1
  if not is_learning() or now < since + MINUTE / portions then
    return false
  end
  local was_used = 2 * calls * portions >= amount
  if was_used then
    amount = min(amount + (step == 0 and amount or step), MOST_FOUND)
  end
  found.learned = { amount, step, now, 0 }
  return was_used
end

local function limited(used, until_time)
  if not is_learning() then
    return false
  end
  local failed, step = found.learned[1], found.learned[2]
  local least = floor(failed / (step == 0 and 4 or 2))
  local amount = max(min(max(floor(used * 9 / 10), least), floor(failed * 9 / 10)), 1)
  local gap = max(floor(failed / 2) - amount, 0)
  step = max(1, floor(amount / 20), floor(gap / 4))
  found.learned = { amount, step, until_time, 0 }
  return true
end

-- Times of -1 are unknown.
local function window_of(known, reset, window)
  if window >= 0 then
    return min(max(window, SECOND), DAY)
  end
  local seen = DAY
  if reset <= MINUTE * 1.5 or reset >= DAY then
    seen = MINUTE
  elseif reset <= HOUR * 1.5 then
    seen = HOUR
  end
  return max(seen, known and known.window or 0)
end

local function hear(dimension, limit, reset, window, now)
  if limit <= 0 or dimension == 'places' or dimension == 'money' or limits.configured[dimension] then
    return false
  end
  local old = found.stated[dimension]
  local new = { amount = min(limit, MOST_FOUND), window = window_of(old, reset, window), at = now }
  if old and old.window == new.window and new.amount > old.amount and now < old.at + MINUTE then
    return false
  end
  found.stated[dimension] = new
  return not old or old.amount ~= new.amount or old.window ~= new.window
end

-- Puts what was found among the limits in force; there are some to find.
local function add(now)
  if not found then
    read(now)
  end
  for dimension, rate in pairs(rates()) do
    if not limits.configured[dimension] then
      limits.u[dimension] = rate
    end
  end
end

-- `DIMENSION AMOUNT WINDOW;` of all that was found.
local function report()
  local rates, lines = found and rates() or {}, {}
  for _, dimension in ipairs(METERED) do
    local rate = rates[dimension]
    if rate and not limits.configured[dimension] then
      lines[#lines + 1] = format('%s %d %d;', dimension, rate.amount, rate.stated_window)
    end
  end
  return table.concat(lines)
end

local function write()
  local lines = {}
  for _, dimension in ipairs(METERED) do
    local stated = found.stated[dimension]
    if stated then
      lines[#lines + 1] = format('%s %d %d %d;', dimension, stated.amount, stated.window, stated.at)
    end
  end
  state.stated = table.concat(lines)
  state.learned = format('%d %d %d %d', unpack(found.learned))
end

return {
  taken = taken, grow = grow, limited = limited, hear = hear, add = add, report = report,
  write = write,
}
