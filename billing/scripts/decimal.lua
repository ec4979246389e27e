-- decimal.lua - decimal integers as text, put before every script. Doubles never hold money: sums are
-- made by HINCRBY, read back by HGET (its return through Lua is a rounded double), compared here.
local call, find, match, sub = redis.call, string.find, string.match, string.sub

-- What HINCRBY takes as it stands (no '-0', no '+', no leading zeros), of at most 16 digits.
local function is_amount(s)
    return s == '0' or (#s <= 17 and find(s, '^%-?[1-9]%d?%d?%d?%d?%d?%d?%d?%d?%d?%d?%d?%d?%d?%d?%d?$'))
end

-- A present sum (false: absent) to which a few amounts can be added without leaving int64.
local function can_add(sum)
    return not sum or sum == '0' or (#sum <= 18 and find(sum, '^%-?[1-9]%d*$'))
end

local function negate(s)
    if s == '0' then
        return s
    end
    return sub(s, 1, 1) == '-' and sub(s, 2) or '-' .. s
end

-- a < b, neither negative.
local function less(a, b)
    if #a ~= #b then
        return #a < #b
    end
    return a < b
end

-- Nine digits at a time are exact. Neither number is negative, both have at most 18 digits.
local function halves(s)
    return tonumber(sub(s, 1, -10)) or 0, tonumber(sub(s, -9))
end

local function joined(high, low)
    return high > 0 and string.format('%d%09d', high, low) or string.format('%d', low)
end

local function plus(a, b)
    if #a < 16 and #b < 16 then -- doubles are exact up to 2^53
        return string.format('%d', a + b)
    end
    local a_high, a_low = halves(a)
    local b_high, b_low = halves(b)
    local carry = a_low + b_low >= 1e9 and 1 or 0
    return joined(a_high + b_high + carry, a_low + b_low - carry * 1e9)
end

-- With its sign.
local function minus(a, b)
    if #a < 16 and #b < 16 then
        return string.format('%d', a - b)
    end
    if less(a, b) then
        return negate(minus(b, a))
    end
    local a_high, a_low = halves(a)
    local b_high, b_low = halves(b)
    local borrow = a_low < b_low and 1 or 0
    return joined(a_high - b_high - borrow, a_low - b_low + borrow * 1e9)
end

-- Up to when (an id of a stream, of which the milliseconds count) an account's calls may be in the archive alone.
local function raise_mark(trimmed, account, id)
    local old = call('HGET', trimmed, account)
    if not old or not less(match(id, '^%d+'), match(old, '^%d+')) then
        call('HSET', trimmed, account, id)
    end
end

-- The amount of an entry "amount writer renewed_ms" and what stands behind it: what it booked of token rates (" tokens
-- account-share key-share", rate.lua; or '') and the day on which the call began, its key and model (" 2026-11-22 public-id creator/name", or
-- ''). Nil when it is no entry.
local function hold_amount(entry)
    local amount, tail = match(entry, '^(%d+) %S+ %d+(.*)$')
    if not amount then
        return nil
    end
    local rates, where = match(tail, '^(.-)( %d%d%d%d%-%d%d%-%d%d %S+ %S+)$')
    rates, where = rates or tail, where or ''
    if is_amount(amount) and (rates == '' or find(rates, '^ %d+ [%d:-]+ [%d:-]+$')) then
        return amount, rates, where
    end
end
