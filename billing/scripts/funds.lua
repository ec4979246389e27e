-- funds.lua - an account's purse, and the money in it that no call moves (credits, adjustments), put before
-- apply_account.lua.
--
-- An amount in the account's own currency moves `balance` and `room`. Any other, and every amount while
-- the account is not opened yet, is kept in `foreign:<currency>` of the account; once the account is
-- opened such a sum stands in suspense as `currency <account> <currency>`. Sums of zero are absent.
local ops = KEYS[5]

local function purse(account, key, currency)
    local a = call('HMGET', key, 'opened', 'currency', 'balance', 'room', 'foreign:' .. currency)
    local own = a[1] and a[2] == currency
    return {key = key, opened = a[1], own = own, field = own and 'balance' or 'foreign:' .. currency,
            sum = own and a[3] or not own and a[5], room = a[4], name = account .. ' ' .. currency}
end

local function purse_takes(p)
    return can_add(p.sum) and can_add(p.room)
end

local function note_foreign(name, sum)
    local entry = 'currency ' .. name
    if was_dropped(entry, sum) then
        call('HDEL', suspense, entry)
    else
        call('HSET', suspense, entry, 'account-has-another-currency ' .. sum)
    end
end

local function pay(p, amount)
    call('HINCRBY', p.key, p.field, amount)
    if p.own then
        call('HINCRBY', p.key, 'room', amount)
        return
    end
    local sum = call('HGET', p.key, p.field)
    if sum == '0' then
        call('HDEL', p.key, p.field)
        call('HDEL', suspense, 'currency ' .. p.name)
    elseif p.opened then
        note_foreign(p.name, sum)
    end
end

-- ---- operations: of one the earliest record counts, whatever its kind

local function read_operation(text)
    local o = {}
    o.at, o.writer, o.n, o.amount, o.currency, o.kind, o.period =
        match(text, '^(%d+) (%S+) (%d+) (%-?%d+) (%S+) (%S+) (%S+)$')
    return o
end

-- Where it is booked: the purse, and the sum of its kind in its period. False when one of them would be too large.
local function find_place(o, id, account, booked)
    o.purse = purse(id, account, o.currency)
    o.sum = o.period .. ' ' .. o.kind .. ' ' .. o.purse.name
    local sums = call('HMGET', booked, o.sum, o.sum .. ' count')
    return purse_takes(o.purse) and can_add(sums[1]) and can_add(sums[2])
end

-- Counts it (1), or takes it back (-1). Sums of nothing are absent.
local function move(o, booked, times)
    local amount, count = times == 1 and o.amount or negate(o.amount), o.sum .. ' count'
    pay(o.purse, amount)
    call('HINCRBY', booked, o.sum, amount)
    call('HINCRBY', booked, count, times)
    if call('HGET', booked, count) == '0' then
        call('HDEL', booked, o.sum, count)
    end
end

-- KEYS: account, booked. Fields: account, operation, currency, amount, at, period.
local function book_funds(r)
    local account, booked, f = KEYS[r.k], KEYS[r.k + 1], r.f
    local id, op = ARGV[f], ARGV[f] .. ' ' .. ARGV[f + 1]
    local new = {kind = r.kind, currency = ARGV[f + 2], amount = ARGV[f + 3], at = ARGV[f + 4], period = ARGV[f + 5]}
    if not is_amount(new.amount) then
        return 'amount-is-out-of-range'
    end
    local old = call('HGET', ops, op)
    if old then
        old = read_operation(old)
        if is_before(old.at, old.writer, old.n, new.at, writer, r.n) then
            keep(r)
            return
        end
    end
    if not find_place(new, id, account, booked) or (old and not find_place(old, id, account, booked)) then
        return 'sum-is-too-large'
    end
    keep(r)
    if old then
        move(old, booked, -1)
    end
    move(new, booked, 1)
    call('HSET', ops, op, new.at .. ' ' .. writer .. ' ' .. r.n .. ' ' .. new.amount .. ' ' .. new.currency .. ' '
        .. new.kind .. ' ' .. new.period)
end
