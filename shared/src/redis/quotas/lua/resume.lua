
-- How a state goes on after calls that it was not told of: `resume.rs`.

function Meter.doubt(meter, from)
  local owed = meter.dimension == 'money' and 0 or Meter.refill(meter, meter.burst - 1)
  local debt = max(meter.debt, owed)
  meter.empty_at = max(meter.empty_at - meter.debt, from) + debt
  meter.debt, meter.refunded, meter.cold_until = debt, 0, from + meter.window
end

local function resume(ahead, money, now)
  Ends.throttle(now)
  local from = max(state.slot, now + ahead)
  state.slot = from
  for _, meter in ipairs(meters) do
    Meter.prepare(meter, 0, now)
    if meter.dimension == 'money' then
      Meter.take(meter, money, from, 1)
    else
      Meter.doubt(meter, from)
    end
  end
  state.parts_since = from
  return 1
end

-- Takes over a call under way that was admitted elsewhere.
local function begun(spend, ttl, tenant, model, now)
  local names, opened = Parts.of(tenant, model, now)
  local refused = Next.never(spend, opened)
  if refused then
    return refused
  end
  Ends.throttle(now)
  Meters.prepare(meters, spend, now)
  for _, part in ipairs(opened) do
    Meters.prepare(part, spend, now)
  end
  local at = max(state.slot, now)
  return Next.granted(at, Next.take_slots(1, spend, names, opened, at, ttl), false)
end

return { resume = resume, begun = begun }
