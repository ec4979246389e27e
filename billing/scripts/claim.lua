-- claim.lua - who has an idempotency key, put before the scripts that touch claims.
--
-- A claim is "open|answered request body ends_ms writer turn": the call that has the key, the digest of what it asked
-- for, when the key is free again (24 h after that call began, by the platform's clock), and of an open one the process
-- that runs it: its writer, and how often the writer's directory had been taken up by then.
local function read_claim(key)
    local text = call('GET', key) or ''
    local state, request, body, ends, by, turn = match(text, '^(%a+) (%S+) (%x+) (%d+) (%S+) (%d+)$')
    return state and {state = state, request = request, body = body, ends = ends, by = by, turn = turn} or nil
end

local CLAIM_MS = 86400000

-- Whether it has by `now`, in nanos.
local function has_ended(c, now)
    return not less(now, c.ends .. '000000')
end

local function write_claim(key, c, ttl_ms)
    call('SET', key, table.concat({c.state, c.request, c.body, c.ends, c.by, c.turn}, ' '), 'PX', ttl_ms)
end

-- The call `c.request` has ended, and `old` is what stands there. A claim is freed only by the call that has it. Had the
-- claim of a call been lost, its answer takes the key back from one that is still open, which learns it when it puts its own
-- again; of two that were answered the one that began later stays. So ENDs may come in any order.
-- Whether the claim is that of `c`, answered, from now on.
local function end_claim(key, old, c, ttl_ms)
    local is_mine = old and old.request == c.request
    if c.state ~= 'answered' then
        if is_mine and old.state == 'open' then
            call('DEL', key)
        end
    elseif less('0', ttl_ms) and (not old or is_mine or old.state == 'open' or less(old.ends, c.ends)
                                  or (old.ends == c.ends and old.request < c.request)) then
        c.by, c.turn = '-', '0'
        write_claim(key, c, ttl_ms)
        return true
    end
    return false
end
