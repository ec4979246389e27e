-- budget.lua - what an account, a key and an account with one model may spend in a day and a month, put before admit.lua.
--
-- Spent (spent.lua) is what ENDs have booked; held is what the account's open calls may cost at most, each on the day on
-- which it began. A call fits when spent + held + its own hold is at most the budget, so calls that run at the same time
-- cannot pass it together. What is held is added up from the entries themselves, and only where that can matter: no part of
-- the account's calls holds more than all of them, so far from its budgets a call looks at no entry.
--
-- `limits` has, as text, nil or '0' for none, the budgets of a day and of a month of the account, of the key and of the
-- account's calls of the model, in this order; `spent` the keys of that day's sums and that month's; `account` its balance,
-- credit_limit (nil: 0) and room. Answers nil when the call fits, else {account|key|model, day|month, budget, what is left
-- of it}: of a month before that of a day, since it stands in the way longer.
local WINDOWS, SCOPES, LONGEST_FIRST = {'day', 'month'}, {'account', 'key', 'model'}, {2, 4, 6, 1, 3, 5}

-- What `room` lacks of balance and credit limit is held by calls, or set aside to be taken back of a grant.
local function all_held(account)
    local have, lack = account.credit_limit or '0', '0'
    for _, part in ipairs({account.balance or '0', negate(account.room)}) do
        if sub(part, 1, 1) == '-' then
            lack = plus(lack, negate(part))
        else
            have = plus(have, part)
        end
    end
    return minus(have, lack)
end

local function budget_over(limits, spent, holds, account, day, key, model, amount)
    local month, rows, sums = sub(day, 1, 7), {}, {}
    for _, i in ipairs(LONGEST_FIRST) do
        if (limits[i] or '0') ~= '0' then
            rows[#rows + 1] = {limit = limits[i], window = 2 - i % 2, scope = (i + i % 2) / 2, held = '0'}
        end
    end
    if #rows == 0 then
        return nil
    end

    local function used(row, held)
        local w = row.window
        sums[w] = sums[w] or call('HMGET', spent[w], 'account', 'key:' .. key, 'model:' .. model)
        return plus(sums[w][row.scope] or '0', held)
    end

    local most, is_near = all_held(account), false
    for _, row in ipairs(rows) do
        is_near = is_near or less(row.limit, plus(used(row, most), amount))
    end
    if not is_near then
        return nil
    end
    for _, entry in ipairs(call('HVALS', holds)) do
        local its, its_day, its_key, its_model = match(entry, '^(%d+) .* (%d%d%d%d%-%d%d%-%d%d) (%S+) (%S+)$')
        local is_there = {its_day == day, its_day and sub(its_day, 1, 7) == month}
        local is_of = {true, its_key == key, its_model == model}
        for _, row in ipairs(rows) do
            if is_there[row.window] and is_of[row.scope] then
                row.held = plus(row.held, its)
            end
        end
    end
    for _, row in ipairs(rows) do
        local its = used(row, row.held)
        if less(row.limit, plus(its, amount)) then
            return {SCOPES[row.scope], WINDOWS[row.window], row.limit, less(row.limit, its) and '0' or minus(row.limit, its)}
        end
    end
end
