-- refund.lua - which refunds of a call count, put before both apply scripts.
--
-- KEYS of a refund: refunds:<request id>, refunded. Fields: request id, operation, period, at, amount,
-- charged (the call's amount), and what it adds up under: "account currency", or "orig_period model
-- currency contract share_bp owners".
-- Of the records of one operation the first counts, by (period, at, writer, n); of those, in this order,
-- the ones that the call's amount still covers. So what counts follows from the set of records alone,
-- in both partitions alike, and a period's figures stand once all records up to its end are there.
local REFUND_FIELDS = 7
local sort = table.sort

-- What the hash says of each operation: "period at writer n amount charged", then the record or nothing.
local function refunds_of(key)
    local all, list = call('HGETALL', key), {}
    for i = 1, #all, 2 do
        local f = {op = all[i]}
        f.period, f.at, f.writer, f.n, f.amount, f.charged =
            match(all[i + 1], '^(%S+) (%d+) (%S+) (%d+) (%d+) (%d+)')
        list[#list + 1] = f
    end
    return list
end

local function is_earlier(a, b)
    if a.period ~= b.period then
        return a.period < b.period
    end
    return is_before(a.at, a.writer, a.n, b.at, b.writer, b.n)
end

-- Marks those that count. Answers their total, and by period how much and how many.
local function count_refunds(list)
    local total, nanos, counts = '0', {}, {}
    sort(list, is_earlier)
    for _, f in ipairs(list) do
        local with = plus(total, f.amount)
        f.counts = not less(f.charged, with)
        if f.counts then
            total = with
            nanos[f.period] = plus(nanos[f.period] or '0', f.amount)
            counts[f.period] = (counts[f.period] or 0) + 1
        end
    end
    return total, nanos, counts
end

-- Puts the new one in its place among them; false when an earlier one of its operation is there.
local function put(list, new)
    for i, f in ipairs(list) do
        if f.op == new.op then
            if is_earlier(f, new) then
                return false
            end
            list[i] = new
            return true
        end
    end
    list[#list + 1] = new
    return true
end

-- What changes: {total, turned = the new one, and others that began or ceased to count, …}. Nil and why,
-- when it cannot be booked. Nothing is written here. `line` goes into the hash.
local function refund_change(r, line)
    local f = r.f
    local new = {op = ARGV[f + 1], period = ARGV[f + 2], at = ARGV[f + 3], writer = writer, n = r.n,
                 amount = ARGV[f + 4], charged = ARGV[f + 5]}
    local change = {refunds = KEYS[r.k], refunded = KEYS[r.k + 1], request = ARGV[f], total = '0',
                    turned = {}, sums = {}}
    if not (is_amount(new.amount) and is_amount(new.charged) and less('0', new.amount)) then
        return nil, 'amount-is-out-of-range'
    end
    local list, did_count = refunds_of(change.refunds), {}
    local total, nanos, counts = count_refunds(list)
    for _, old in ipairs(list) do
        did_count[old.op] = old.counts
    end
    if not put(list, new) then
        return change
    end
    local new_total, new_nanos, new_counts = count_refunds(list)
    change.op, change.entry = new.op, new.period .. ' ' .. new.at .. ' ' .. writer .. ' ' .. r.n .. ' '
        .. new.amount .. ' ' .. new.charged .. ' ' .. line
    change.total = minus(new_total, total)
    for _, old in ipairs(list) do
        if old == new or old.counts ~= did_count[old.op] then
            change.turned[#change.turned + 1] = old
        end
        nanos[old.period] = nanos[old.period] or '0'
    end
    for period, was in pairs(nanos) do
        local sum = {field = period .. ' ' .. ARGV[f + 6], nanos = minus(new_nanos[period] or '0', was),
                     count = (new_counts[period] or 0) - (counts[period] or 0)}
        local present = call('HMGET', change.refunded, sum.field, sum.field .. ' count')
        if not (can_add(present[1]) and can_add(present[2])) then
            return nil, 'sum-is-too-large'
        end
        if sum.nanos ~= '0' or sum.count ~= 0 then
            change.sums[#change.sums + 1] = sum
        end
    end
    return change
end

-- Sums of nothing are absent.
local function book_change(change)
    if change.op then
        call('HSET', change.refunds, change.op, change.entry)
    end
    for _, sum in ipairs(change.sums) do
        local count = sum.field .. ' count'
        call('HINCRBY', change.refunded, sum.field, sum.nanos)
        call('HINCRBY', change.refunded, count, sum.count)
        if call('HGET', change.refunded, count) == '0' then
            call('HDEL', change.refunded, sum.field, count)
        end
    end
end
