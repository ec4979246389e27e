-- apply_account.lua - what records do to an account partition. All effects commute between writers:
-- sums, the highest revision, the earliest of a repeated operation, refunds by refund.lua.
--
-- An amount in the account's own currency moves `balance` and `room`. Any other, and every amount while
-- the account is not opened yet, is kept in `foreign:<currency>` of the account; once the account is
-- opened such a sum stands in suspense as `currency <account> <currency>`. Sums of zero are absent.
local ops, trimmed = KEYS[5], KEYS[6]

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

-- KEYS: account, holds, debits, events, index, rate of the account, rate of the key. Fields: account, request id,
-- currency, amount, tokens used.
local function book_call(r)
    local account, holds, debits = KEYS[r.k], KEYS[r.k + 1], KEYS[r.k + 2]
    local events, index = KEYS[r.k + 3], KEYS[r.k + 4]
    local id, request, currency, amount = ARGV[r.f], ARGV[r.f + 1], ARGV[r.f + 2], ARGV[r.f + 3]
    local used = tonumber(ARGV[r.f + 4])
    if not is_amount(amount) or not used then
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

local function is_newer(r, revision, at, old_revision, old_by)
    if not old_revision then
        return true
    end
    if revision ~= old_revision then
        return less(old_revision, revision)
    end
    local old_at, old_writer, old_n = match(old_by, '^(%d+) (%S+) (%d+)$')
    return is_before(old_at, old_writer, old_n, at, writer, r.n)
end

-- Moves the balance to the new currency's and says what may now be in the wrong one.
local function change_currency(id, account, a, currency)
    local old, new = a[1] and a[3] or '0', a[8] or '0'
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

-- KEYS: account. Fields: account, currency, mode, credit limit, concurrency, rpm, tpm, revision, at.
local function book_account(r)
    local account, f = KEYS[r.k], r.f
    local id, currency, mode, limit = ARGV[f], ARGV[f + 1], ARGV[f + 2], ARGV[f + 3]
    local concurrency, rpm, tpm = ARGV[f + 4], ARGV[f + 5], ARGV[f + 6]
    local revision, at = ARGV[f + 7], ARGV[f + 8]
    for i = f + 3, f + 7 do
        if not is_amount(ARGV[i]) then
            return 'number-is-out-of-range'
        end
    end
    local a = call('HMGET', account, 'opened', 'currency', 'balance', 'room', 'credit_limit',
                   'revision', 'by', 'foreign:' .. currency)
    if not (can_add(a[3]) and can_add(a[4]) and can_add(a[8])) then
        return 'sum-is-too-large'
    end
    keep(r)
    if not is_newer(r, revision, at, a[6], a[7]) then
        return
    end
    if not a[1] or a[2] ~= currency then
        change_currency(id, account, a, currency)
    end
    call('HINCRBY', account, 'room', negate(a[5] or '0'))
    call('HINCRBY', account, 'room', limit)
    call('HSET', account, 'opened', '1', 'currency', currency, 'mode', mode, 'credit_limit', limit,
         'concurrency', concurrency, 'rpm', rpm, 'tpm', tpm, 'revision', revision,
         'by', at .. ' ' .. writer .. ' ' .. r.n)
end

-- KEYS: key. Fields: owner kind, owner, hash, state, expires at, rpm, tpm, revision, at, access.
local function book_key(r)
    local key, f = KEYS[r.k], r.f
    local state_wanted, rpm, tpm = ARGV[f + 3], ARGV[f + 5], ARGV[f + 6]
    local revision, at = ARGV[f + 7], ARGV[f + 8]
    if not (is_amount(rpm) and is_amount(tpm) and is_amount(revision)) then
        return 'number-is-out-of-range'
    end
    local old = call('HMGET', key, 'revision', 'by', 'state')
    keep(r)
    if old[3] == 'revoked' then
        state_wanted = 'revoked'
    end
    if is_newer(r, revision, at, old[1], old[2]) then
        call('HSET', key, 'owner_kind', ARGV[f], 'owner', ARGV[f + 1], 'hash', ARGV[f + 2],
             'state', state_wanted, 'expires_at', ARGV[f + 4], 'rpm', rpm, 'tpm', tpm, 'access', ARGV[f + 9],
             'revision', revision, 'by', at .. ' ' .. writer .. ' ' .. r.n)
    elseif state_wanted == 'revoked' then
        call('HSET', key, 'state', 'revoked')
    end
end

-- KEYS: account. Fields: account, operation, currency, amount, at.
local function book_credit(r)
    local account, f = KEYS[r.k], r.f
    local id, currency, amount, at = ARGV[f], ARGV[f + 2], ARGV[f + 3], ARGV[f + 4]
    local op = id .. ' ' .. ARGV[f + 1]
    if not is_amount(amount) then
        return 'amount-is-out-of-range'
    end
    local old_at, old_writer, old_n, old_amount, old_currency
    local old = call('HGET', ops, op)
    local new_purse, old_purse = purse(id, account, currency), nil
    if old then
        old_at, old_writer, old_n, old_amount, old_currency =
            match(old, '^(%d+) (%S+) (%d+) (%-?%d+) (%S+)$')
        if is_before(old_at, old_writer, old_n, at, writer, r.n) then
            keep(r)
            return
        end
        old_purse = purse(id, account, old_currency)
    end
    if not purse_takes(new_purse) or (old and not purse_takes(old_purse)) then
        return 'sum-is-too-large'
    end
    keep(r)
    if old then
        pay(old_purse, negate(old_amount))
    end
    pay(new_purse, amount)
    call('HSET', ops, op, at .. ' ' .. writer .. ' ' .. r.n .. ' ' .. amount .. ' ' .. currency)
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
        pay(p, change.total)
    end
    return aside, true
end

local function set_aside(r)
    return ARGV[r.f]
end

return apply({call = book_call, claimed_call = book_claimed_call, account = book_account, key = book_key,
              credit = book_credit, refund = book_refund, resolve = book_resolve, lost = book_lost,
              suspend = set_aside})
