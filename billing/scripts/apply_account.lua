-- apply_account.lua - what records do to an account partition. All effects commute between writers:
-- sums, the earliest of a repeated operation, terms by terms.lua, refunds by refund.lua, and what
-- is paid in by funds.lua.
local trimmed = KEYS[6]

-- KEYS: account, holds, debits, events, index, rate of the account, rate of the key, spent of the day on which it began,
-- spent of that month. Fields: account, request id, currency, amount, tokens used, key, model.
local function book_call(r)
    local account, holds, debits = KEYS[r.k], KEYS[r.k + 1], KEYS[r.k + 2]
    local events, index = KEYS[r.k + 3], KEYS[r.k + 4]
    local id, request, currency, amount = ARGV[r.f], ARGV[r.f + 1], ARGV[r.f + 2], ARGV[r.f + 3]
    local used = tonumber(ARGV[r.f + 4])
    if not is_amount(amount) or find(amount, '-', 1, true) or not used then
        return 'amount-is-out-of-range'
    end
    if call('HEXISTS', index, request) == 1 then
        return 'request-id-was-charged-already'
    end
    local field = id .. ' ' .. currency
    local p = purse(id, account, currency)
    local sums = call('HMGET', debits, field, field .. ' calls')
    local hold = call('HGET', holds, request)
    local held, tail = '0', ''
    if hold then
        held, tail = hold_amount(hold)
    end
    if not held then
        return 'hold-is-malformed'
    end
    local back = unused(tail, KEYS[r.k + 5], KEYS[r.k + 6], used)
    if not (purse_takes(p) and can_add(sums[1]) and can_add(sums[2])) then
        return 'sum-is-too-large'
    end
    if r.past == '0' then
        call('HSET', index, request, call('XADD', events, '*', 'r', r.line))
    else
        raise_mark(trimmed, id, r.past .. '-0')
    end
    pay(p, negate(amount))
    if hold then
        call('HDEL', holds, request)
        call('HINCRBY', account, 'room', held)
        put_back(back)
    end
    call('HINCRBY', debits, field, amount)
    call('HINCRBY', debits, field .. ' calls', 1)
    spend(KEYS[r.k + 7], KEYS[r.k + 8], ARGV[r.f + 5], ARGV[r.f + 6], amount)
end

-- The same of a call that carried an idempotency key. The last of its KEYS: claim. The last of its fields: answered|failed,
-- digest of the body, ends_ms, milliseconds left until then.
local function book_claimed_call(r)
    local key, f = KEYS[r.k + r.keys - 1], r.f + r.fields - 4
    local old = read_claim(key)
    local reason = book_call(r)
    if not reason then
        end_claim(key, old, {state = ARGV[f], request = ARGV[r.f + 1], body = ARGV[f + 1], ends = ARGV[f + 2]}, ARGV[f + 3])
    end
    return reason
end

-- Moves the balance to the new currency's and says what may now be in the wrong one.
local function change_currency(id, account, a, currency)
    local old, new = a[1] and a[3] or '0', a[6] or '0'
    if old ~= '0' then
        call('HSET', account, 'foreign:' .. a[2], old)
        call('HINCRBY', account, 'room', negate(old))
    end
    call('HDEL', account, 'foreign:' .. currency)
    call('HDEL', suspense, 'currency ' .. id .. ' ' .. currency)
    call('HSET', account, 'balance', new)
    call('HINCRBY', account, 'room', new)
    local all = call('HGETALL', account)
    for i = 1, #all, 2 do
        local other = match(all[i], '^foreign:(.*)$')
        if other then
            note_foreign(id .. ' ' .. other, all[i + 1])
        end
    end
end

-- KEYS: account, its terms. Fields: account, then as setting_of() takes them. It is opened once a creation is there.
local function book_account(r)
    local account, terms, id = KEYS[r.k], KEYS[r.k + 1], ARGV[r.f]
    local new = setting_of(r, r.f + 1)
    if not new then
        return 'number-is-out-of-range'
    end
    local values = values_with(terms, new)
    if not values then
        keep(r)
        return
    end
    local currency = values.currency
    local a = call('HMGET', account, 'opened', 'currency', 'balance', 'room', 'credit_limit',
                   'foreign:' .. (currency or ''))
    if not (can_add(a[3]) and can_add(a[4]) and can_add(a[6])) then
        return 'sum-is-too-large'
    end
    keep(r)
    call('HSET', terms, new.op, new.entry)
    if not currency then
        return
    end
    if not a[1] or a[2] ~= currency then
        change_currency(id, account, a, currency)
    end
    call('HINCRBY', account, 'room', negate(a[5] or '0'))
    call('HINCRBY', account, 'room', values.credit_limit or '0')
    call('HSET', account, 'opened', '1')
    write_values(account, values)
end

-- What a key opens, as gateway/key_access.h spells it.
local function access_of(values)
    local lists = {}
    for _, name in ipairs({'scopes', 'models', 'ips'}) do
        if (values[name] or '') ~= '' then
            lists[#lists + 1] = '"' .. name .. '":' .. values[name]
        end
        values[name] = nil
    end
    return #lists == 0 and '' or '{' .. table.concat(lists, ',') .. '}'
end

-- Only a revocation names the state, so it is final. There is no key before its creation,
-- which alone names the owner.
local function set_key(key, terms, new, values)
    call('HSET', terms, new.op, new.entry)
    if values.owner then
        values.state = values.state or 'active'
        values.access = access_of(values)
        write_values(key, values)
    end
end

-- KEYS: key, its terms; of one that replaces another then those of the other. Fields: as setting_of() takes them, of each.
local function book_key(r)
    local new, values = {}, {}
    for i = 0, r.keys / 2 - 1 do
        new[i] = setting_of(r, r.f + SETTING_FIELDS * i)
        if not new[i] then
            return 'number-is-out-of-range'
        end
        values[i] = values_with(KEYS[r.k + 2 * i + 1], new[i])
        call('HEXISTS', KEYS[r.k + 2 * i], 'hash')
    end
    keep(r)
    for i = 0, r.keys / 2 - 1 do
        if values[i] then
            set_key(KEYS[r.k + 2 * i], KEYS[r.k + 2 * i + 1], new[i], values[i])
        end
    end
end

-- KEYS: refunds, refunded, account. Fields: as refund.lua says, then account, currency.
local function book_refund(r)
    local change, reason = refund_change(r, r.line)
    if not change then
        return reason
    end
    local p = purse(ARGV[r.f + REFUND_FIELDS], KEYS[r.k + 2], ARGV[r.f + REFUND_FIELDS + 1])
    if not purse_takes(p) then
        return 'sum-is-too-large'
    end
    keep(r)
    book_change(change)
    local aside
    for _, f in ipairs(change.turned) do
        local field = 'refund ' .. change.request .. ' ' .. f.op
        if f.counts then
            call('HDEL', suspense, field)
        else
            aside = 'refund-is-above-the-call'
            if not was_dropped(field, '-') then
                call('HSET', suspense, field, aside .. ' ' .. f.amount .. ' ' .. f.writer .. ' ' .. f.n)
            end
        end
    end
    if change.total ~= '0' then
        deposit(p, change.total)
    end
    return aside, true
end

-- KEYS: where it stands. Fields: name, at, body. What says the same once more changes nothing: the first counts, by
-- (at, writer, n).
local function book_first(r)
    local key, name, at = KEYS[r.k], ARGV[r.f], ARGV[r.f + 1]
    local old = call('HGET', key, name)
    local is_first = not old or is_before(at, writer, r.n, match(old, '^(%d+) (%S+) (%d+) '))
    keep(r)
    if is_first then
        call('HSET', key, name, at .. ' ' .. writer .. ' ' .. r.n .. ' ' .. ARGV[r.f + 2])
    end
end

local function set_aside(r)
    return ARGV[r.f]
end

return apply({call = book_call, claimed_call = book_claimed_call, account = book_account, key = book_key,
              credit = book_funds, adjust = book_funds, grant = book_funds, expiry = book_expiry,
              refund = book_refund, first = book_first, resolve = book_resolve, lost = book_lost,
              suspend = set_aside})
