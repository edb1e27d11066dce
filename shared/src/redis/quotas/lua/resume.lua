
-- How a state goes on after calls that it was not told of: `resume.rs`.

local function meter_doubt(meter, from)
  local owed = meter.dimension == 'money' and 0 or refill(meter, meter.burst - 1)
  local debt = max(meter.debt, owed)
  meter.empty_at = max(meter.empty_at - meter.debt, from) + debt
  meter.debt, meter.refunded, meter.cold_until = debt, 0, from + meter.window
end

local function resume(ahead, money, now)
  throttle(now)
  local from = max(state.slot, now + ahead)
  state.slot = from
  for _, meter in ipairs(meters) do
    meter_prepare(meter, 0, now)
    if meter.dimension == 'money' then
      meter_take(meter, money, from)
    else
      meter_doubt(meter, from)
    end
  end
  state.parts_since = from
  return 1
end

-- Takes over a call under way that was admitted elsewhere.
local function begun(spend, ttl, tenant, model, now)
  local names, opened = parts_of(tenant, model, now)
  local refused = never(spend, opened)
  if refused then
    return refused
  end
  throttle(now)
  prepare(meters, spend, now)
  for _, part in ipairs(opened) do
    prepare(part, spend, now)
  end
  local at = max(state.slot, now)
  return granted(at, take_slot(spend, names, opened, at, ttl), false)
end
