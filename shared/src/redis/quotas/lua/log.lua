
-- The log of one window: `log.rs`. Entries are read when they are needed.

local function new(name, window, first, last, sum)
  return {
    name = name .. '.', window = window, grain = floor(window / GRAINS),
    first = first, last = last, sum = sum, entries = {}, changed = {},
  }
end

-- The entry at a place, read with so many of its followers.
local function entry_at(log, place, followers)
  local entry = log.entries[place]
  if entry then
    return entry
  end
  local names = {}
  local to = min(place + followers, log.last)
  for i = place, to do
    names[#names + 1] = log.name .. i
  end
  local values = redis.call('HMGET', STATE, unpack(names))
  for i = place, to do
    if not log.entries[i] then
      local first, last, units = match(values[i - place + 1], '^(%d+) (%d+) (%d+)$')
      log.entries[i] = { first = first + 0, last = last + 0, units = units + 0 }
    end
  end
  return log.entries[place]
end

-- When the last use leaves the window.
local function lasts_until(log)
  if log.first > log.last then
    return 0
  end
  return entry_at(log, log.last, 0).last + log.window
end

local function forget(log, now)
  local followers = 0
  while log.first <= log.last do
    local oldest = entry_at(log, log.first, followers)
    if oldest.last + log.window >= now then
      return
    end
    log.sum = log.sum - oldest.units
    removed[#removed + 1] = log.name .. log.first
    log.first = log.first + 1
    followers = 3
  end
end

local function earliest(log, units, limit, from)
  local sum, at = log.sum, from
  for place = log.first, log.last do
    if sum + units <= limit then
      break
    end
    -- The further it goes, the further it will.
    local entry = entry_at(log, place, min(2 * (place - log.first) + 3, 255))
    sum = sum - entry.units
    at = max(at, entry.last + log.window + 1)
  end
  return at
end

local function add(log, units, at)
  log.sum = log.sum + units
  local latest = log.first <= log.last and entry_at(log, log.last, 0)
  if latest and at - latest.first <= log.grain then
    latest.last = at
    latest.units = latest.units + units
  else
    log.last = log.last + 1
    log.entries[log.last] = { first = at, last = at, units = units }
  end
  log.changed[log.last] = true
end

-- The first place at which the entry of a time can be: the entries after it begin more than a grain apart, but
-- for those of a shorter window.
local function lowest(log, at)
  local apart = floor(max(entry_at(log, log.last, 0).first - at, 0) / max(log.grain, 1))
  local low = max(log.last - apart - 1, log.first)
  return low > log.first and entry_at(log, low - 1, 3).last >= at and log.first or low
end

-- Of calls at one time, so many units more or less.
local function correct(log, at, units)
  if log.first > log.last then
    return
  end
  local low, high = lowest(log, at), log.last + 1
  while low < high do
    local middle = floor((low + high) / 2)
    if entry_at(log, middle, 0).last < at then
      low = middle + 1
    else
      high = middle
    end
  end
  if low <= log.last then
    local entry = entry_at(log, low, 0)
    if entry.first <= at then
      entry.units = entry.units + units
      log.sum = log.sum + units
      log.changed[low] = true
    end
  end
end

local function write(log)
  for place in pairs(log.changed) do
    if place >= log.first then
      local entry = log.entries[place]
      put(log.name .. place, format('%d %d %d', entry.first, entry.last, entry.units))
    end
  end
end

return {
  new = new, lasts_until = lasts_until, forget = forget, earliest = earliest, add = add,
  correct = correct, write = write,
}
