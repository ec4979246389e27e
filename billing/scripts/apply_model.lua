-- apply_model.lua - what records do to a model partition: what a model earned, what of it was
-- given back, and the catalogue.
local catalogue = KEYS[5]

local RECENT_CALLS = 200

-- KEYS: gross, calls. Fields: model day currency contract share_bp owners (one text), amount.
local function book_call(r)
    local gross, calls, field, amount = KEYS[r.k], KEYS[r.k + 1], ARGV[r.f], ARGV[r.f + 1]
    if not is_amount(amount) then
        return 'amount-is-out-of-range'
    end
    local sums = call('HMGET', gross, field, field .. ' calls')
    if not (can_add(sums[1]) and can_add(sums[2])) then
        return 'sum-is-too-large'
    end
    if r.past == '0' then
        call('XADD', calls, 'MAXLEN', '~', RECENT_CALLS, '*', 'r', r.line)
    end
    call('HINCRBY', gross, field, amount)
    call('HINCRBY', gross, field .. ' calls', 1)
end

-- Fields: object/id, revision, body. Of two bodies with one revision the larger digest wins everywhere.
local function book_catalogue(r)
    local object, revision, body = ARGV[r.f], ARGV[r.f + 1], ARGV[r.f + 2]
    if not is_amount(revision) then
        return 'number-is-out-of-range'
    end
    local old = call('HMGET', catalogue, object, 'revision')
    keep(r)
    local old_revision, old_body = match(old[1] or '', '^(%d+) (.*)$')
    local is_newer = not old_revision or less(old_revision, revision)
        or (old_revision == revision and redis.sha1hex(old_body) < redis.sha1hex(body))
    if is_newer then
        call('HSET', catalogue, object, revision .. ' ' .. body)
    end
    if not old[2] or less(old[2], revision) then
        call('HSET', catalogue, 'revision', revision)
    end
end

-- KEYS: refunds, refunded. Fields: as refund.lua says.
local function book_refund(r)
    local change, reason = refund_change(r, '')
    if change then
        book_change(change)
    end
    return reason
end

local function set_aside(r)
    return ARGV[r.f]
end

return apply({call = book_call, catalogue = book_catalogue, refund = book_refund,
              resolve = book_resolve, lost = book_lost, suspend = set_aside})
