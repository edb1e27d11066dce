
-- One dimension: `meter.rs`, and its use by others: `others.rs`.

-- In the state: empty_at burst refunded cold_until debt first last sum others others_until heard_of after told_until; of
-- parts (parts.lua) also of_amount of_window since.
local PACKED = '^' .. string.rep('(%d+) ', 13)

local LATEST_TURN = 10 * MINUTE

local function refill(meter, units)
  return share_up(units, meter.window, meter.effective)
end

local function owe(meter, time)
  meter.empty_at = meter.empty_at + time
  meter.debt = meter.debt + time
end

-- A meter that begins at a time and knows nothing but the uses of an older one, if there is one.
-- Calls up to `after` were admitted before.
local function new(name, dimension, rate, older, from, after)
  local meter = {
    name = name, dimension = dimension, amount = rate.amount, effective = max(rate.amount, 1),
    window = rate.window, burst = rate.bucket, empty_at = from, refunded = 0, debt = 0,
    others = 0, others_until = 0, heard_of = 0, told_until = 0, cold_until = from + rate.window,
    is_found = rate.stated_window ~= nil, learned = rate.learned, after = after,
  }
  if dimension ~= 'money' then
    owe(meter, refill(meter, meter.burst - 1))
  end
  meter.log = Log.new(name, meter.window, 1, 0, 0)
  if older then
    meter.log = older.log
    meter.log.window, meter.log.grain = meter.window, floor(meter.window / GRAINS)
  end
  return meter
end

local function read(name, dimension, rate, packed)
  -- Earlier versions had no `after` and `told_until`.
  local empty_at, burst, refunded, cold_until, debt, first, last, sum, others, others_until, heard_of, after, told_until =
    match(packed .. ' 0 0 ', PACKED)
  return {
    name = name, dimension = dimension, amount = rate.amount, effective = max(rate.amount, 1),
    window = rate.window, is_found = rate.stated_window ~= nil, learned = rate.learned,
    empty_at = empty_at + 0, burst = burst + 0, refunded = refunded + 0, cold_until = cold_until + 0,
    debt = debt + 0, others = others + 0, others_until = others_until + 0, heard_of = heard_of + 0,
    after = after + 0, told_until = told_until + 0,
    log = Log.new(name, rate.window, first + 0, last + 0, sum + 0),
  }
end

local function write(meter)
  local log = meter.log
  local packed = format('%d %d %d %d %d %d %d %d %d %d %d %d %d', meter.empty_at, meter.burst, meter.refunded,
    meter.cold_until, meter.debt, log.first, log.last, log.sum, meter.others, meter.others_until, meter.heard_of,
    meter.after, meter.told_until)
  if meter.since then
    packed = format('%s %d %d %d', packed, meter.of_amount, meter.of_window, meter.since)
  end
  put(meter.name, packed)
  Log.write(log)
end

local function remove(meter)
  removed[#removed + 1] = meter.name
  for place = meter.log.first, meter.log.last do
    removed[#removed + 1] = meter.log.name .. place
  end
end

-- A found limit has changed.
local function adjust(meter, rate)
  if rate.stated_window then
    meter.amount, meter.effective, meter.learned = rate.amount, rate.amount, rate.learned
    meter.burst = rate.learned and rate.bucket or max(rate.bucket, meter.burst)
  end
end

local function throttle(meter, per_mille)
  per_mille = meter.learned and 1000 or per_mille
  meter.effective = max(floor(meter.amount * per_mille / 1000), 1)
end

local function drain(meter, now)
  if meter.empty_at < now then
    meter.empty_at, meter.debt = now, 0
  end
end

local function prepare(meter, units, now)
  Log.forget(meter.log, now)
  if now >= meter.cold_until then
    meter.empty_at = max(meter.empty_at - meter.debt, 0)
    meter.debt = 0
  elseif units > meter.burst then
    owe(meter, refill(meter, units) - refill(meter, meter.burst))
  end
  meter.burst = max(meter.burst, units)
end

local function others_units(meter, now)
  return now < meter.others_until and meter.others or 0
end

-- Units by which the bucket is not full, if it is as large as the amount.
local function lacks(meter, now)
  local left = min(max(meter.empty_at + meter.window - now, 0), meter.window)
  return share_up(left, meter.amount, max(meter.window, 1))
end

-- Another budget for the same window: what is not known to be spent may go at once.
local function keep_known(meter, before, now)
  local lacks = min(lacks(before, now), meter.amount)
  meter.empty_at = max(now - meter.window + refill(meter, lacks), 0)
  meter.cold_until = before.cold_until
end

-- Nothing is known of a time before but what it has seen: `resume.rs`.
local function doubt(meter, from)
  local owed = meter.dimension == 'money' and 0 or refill(meter, meter.burst - 1)
  local debt = max(meter.debt, owed)
  meter.empty_at = max(meter.empty_at - meter.debt, from) + debt
  meter.debt, meter.refunded, meter.cold_until = debt, 0, from + meter.window
end

-- Used by others; of money all that its bucket lacks.
local function others(meter, now)
  local others = others_units(meter, now)
  if meter.dimension ~= 'money' or now >= meter.cold_until then
    return others
  end
  return max(others, lacks(meter, now) - meter.log.sum)
end

local function others_earliest(meter, units, from)
  local alone = Log.earliest(meter.log, units, meter.amount, from)
  if meter.others == 0 or from >= meter.others_until then
    return alone
  end
  local without = max(alone, meter.others_until)
  if units + meter.others > meter.amount then
    return without
  end
  return min(Log.earliest(meter.log, units, meter.amount - meter.others, from), without)
end

local function earliest(meter, units, from)
  units = min(units, meter.amount)
  local paid = meter.empty_at + refill(meter, units)
  if meter.log.first > meter.log.last and from <= meter.cold_until then
    paid = min(paid, meter.cold_until)
  end
  return others_earliest(meter, units, max(from, paid))
end

-- When somebody who is refused should come back: after those refused before.
local function tell(meter, units, at)
  local told = max(meter.told_until, at)
  if told > at + LATEST_TURN then
    told = at
  end
  meter.told_until = told + refill(meter, units)
  return told
end

local function see_free(meter, units, now)
  if earliest(meter, units, now) <= now then
    meter.told_until = 0
  end
end

-- Of calls that are alike.
local function take(meter, units, at, count)
  local full = max(at - refill(meter, meter.burst + meter.refunded), 0)
  meter.empty_at = max(meter.empty_at, full)
  meter.debt = min(meter.debt, meter.empty_at - full)
  meter.empty_at = meter.empty_at + count * refill(meter, units)
  meter.refunded = max(meter.refunded - count * units, 0)
  Log.add(meter.log, count * units, at)
end

-- How many more calls could go at the time at which one like them goes. Fewer, if that is hard to say.
local function room(meter, units, at, now)
  if units == 0 then
    return math.huge
  end
  local by_pace = floor((at - meter.empty_at) / refill(meter, units))
  local by_log = floor((meter.amount - others_units(meter, now) - meter.log.sum) / units)
  return max(min(by_pace, by_log), 0)
end

-- So many calls at one time used the same.
local function correct(meter, at, reserved, used, count)
  if used == reserved then
    return
  end
  Log.correct(meter.log, at, count * (used - reserved))
  if used > reserved then
    local paid_back = meter.empty_at + count * refill(meter, used - reserved)
    meter.empty_at = min(paid_back, max(meter.empty_at, at + meter.window))
  else
    meter.empty_at = max(meter.empty_at - count * refill(meter, reserved - used), 0)
    meter.refunded = meter.refunded + count * (reserved - used)
  end
end

local function put_back(meter, at)
  Log.correct(meter.log, at, -1)
  meter.empty_at = max(meter.empty_at - refill(meter, 1), 0)
end

-- Times of -1 are unknown.
local function heed(meter, remaining, reset, window, id, last_id, now)
  if remaining < 0 or window > meter.window or (window >= 0 and window < floor(meter.window / 2)) then
    return
  end
  if reset < 0 and remaining > 0 then
    reset = meter.window
  end
  if reset <= 0 or reset > meter.window then
    return
  end
  Log.forget(meter.log, now)
  local units = max(max(meter.amount - meter.log.sum, 0) - remaining, 0)
  if units >= others_units(meter, now) or id > meter.heard_of then
    meter.others, meter.others_until, meter.heard_of = units, now + reset, last_id
  end
end

local function idle_at(meter)
  local full = meter.empty_at + refill(meter, meter.burst + meter.refunded)
  return max(meter.cold_until, full, Log.lasts_until(meter.log))
end

return {
  refill = refill, new = new, read = read, write = write, remove = remove, adjust = adjust,
  throttle = throttle, drain = drain, prepare = prepare, keep_known = keep_known, doubt = doubt, others = others,
  earliest = earliest, tell = tell, see_free = see_free, take = take, room = room,
  correct = correct, put_back = put_back, heed = heed, idle_at = idle_at,
}
