
-- One dimension: `meter.rs`.

local METER = { 'empty_at', 'burst', 'refunded', 'cold_until', 'debt', 'first', 'last', 'sum' }

local function refill(meter, units)
  return share_up(units, meter.window, math.max(meter.amount, 1))
end

local function owe(meter, time)
  meter.empty_at = meter.empty_at + time
  meter.debt = meter.debt + time
end

-- A meter that begins at a time and knows nothing but the uses of an older one, if there is one.
local function new_meter(name, rate, older, from)
  local amount, window, burst = string.match(rate, '^(%d+) (%d+) (%d+)')
  local meter = {
    amount = tonumber(amount), window = tonumber(window), burst = tonumber(burst),
    empty_at = from, refunded = 0, debt = 0,
  }
  meter.cold_until = from + meter.window
  owe(meter, refill(meter, meter.burst - 1))
  meter.log = new_log(name, meter.window, 1, 0, 0)
  if older then
    meter.log = older.log
    meter.log.window, meter.log.grain = meter.window, math.floor(meter.window / GRAINS)
  end
  return meter
end

local function read_meter(name, rate, values)
  local amount, window = string.match(rate, '^(%d+) (%d+)')
  local meter = { amount = tonumber(amount), window = tonumber(window) }
  for i = 1, 5 do
    meter[METER[i]] = tonumber(values[i])
  end
  meter.log = new_log(name, meter.window, tonumber(values[6]), tonumber(values[7]), tonumber(values[8]))
  return meter
end

local function write_meter(name, meter)
  for i = 1, 5 do
    write(name .. '.' .. METER[i], meter[METER[i]])
  end
  write(name .. '.first', meter.log.first)
  write(name .. '.last', meter.log.last)
  write(name .. '.sum', meter.log.sum)
  log_write(meter.log)
end

local function remove_meter(name, meter)
  for i = 1, #METER do
    removed[#removed + 1] = name .. '.' .. METER[i]
  end
  for place = meter.log.first, meter.log.last do
    removed[#removed + 1] = meter.log.name .. place
  end
end

local function meter_prepare(meter, units, now)
  log_forget(meter.log, now)
  if now >= meter.cold_until then
    meter.empty_at = math.max(meter.empty_at - meter.debt, 0)
    meter.debt = 0
  elseif units > meter.burst then
    owe(meter, refill(meter, units) - refill(meter, meter.burst))
  end
  meter.burst = math.max(meter.burst, units)
end

local function meter_earliest(meter, units, from)
  local paid = meter.empty_at + refill(meter, units)
  if meter.log.first > meter.log.last and from <= meter.cold_until then
    paid = math.min(paid, meter.cold_until)
  end
  return log_earliest(meter.log, units, meter.amount, math.max(from, paid))
end

local function meter_take(meter, units, at)
  local full = math.max(at - refill(meter, meter.burst + meter.refunded), 0)
  if full > meter.empty_at then
    meter.empty_at = full
    meter.debt = 0
  end
  meter.empty_at = meter.empty_at + refill(meter, units)
  meter.refunded = math.max(meter.refunded - units, 0)
  log_add(meter.log, units, at)
end

local function meter_correct(meter, at, reserved, used)
  log_correct(meter.log, at, reserved, used)
  if used > reserved then
    meter.empty_at = meter.empty_at + refill(meter, used - reserved)
  else
    meter.empty_at = math.max(meter.empty_at - refill(meter, reserved - used), 0)
    meter.refunded = meter.refunded + reserved - used
  end
end
