-- Appends parts. ARGV: log id, what the parts say, cap of entries (0: none), touch (1: always write), entries' bytes.
-- A part is an array of entries: {FREE, id}, {TERMED, id, term, what it judges up to}, {ELECTED, id, name},
-- {REGISTRATION, id, invocation, task, queue, not before, slice from, slice size, term or false},
-- {MOVE, id, invocation, kind, attempt, claim, runner, not before}.
local FREE, TERMED, ELECTED, REGISTRATION, MOVE = 0, 1, 2, 3, 4
local DATA = 4

local log = load_log()
local parts = unpack_value(ARGV[2])
local cap = tonumber(ARGV[3])

local entry_ids, invocation_ids, swelling = {}, {}, false
for _, part in ipairs(parts) do
    for _, entry in ipairs(part) do
        entry_ids[#entry_ids + 1] = entry[2]
        if entry[1] == REGISTRATION or entry[1] == MOVE then
            invocation_ids[#invocation_ids + 1] = entry[3]
        end
        swelling = swelling or entry[1] == FREE or (entry[1] == REGISTRATION and not entry[9])
    end
end
if cap > 0 and swelling and call('XLEN', ENTRIES) + #entry_ids > cap then
    return redis.error_reply('-LOGFULL ' .. decimal(call('XLEN', ENTRIES)))
end

local ids = load_fields(IDS, entry_ids)
local rows = load_fields(INVOCATIONS, invocation_ids)
for id, packed in pairs(rows) do
    rows[id] = packed and unpack_value(packed)
end
local before, touched = {}, {}
local terms, current
local elected = {}
local accepted = {}
local tail = log.tail
local number = 0

local function load_terms()
    if not terms then
        terms = {}
        local found = call('HGETALL', TERMS)
        for index = 1, #found, 2 do
            terms[found[index]] = tonumber(found[index + 1])
        end
    end
    if not current then
        current = {}
        for _, position in pairs(terms) do
            current[position] = true
        end
    end
end

local function known_position(entry)
    local position = ids[entry[2]]
    if position then
        return tonumber(position)
    elseif entry[1] == REGISTRATION and rows[entry[3]] then
        return rows[entry[3]][REGISTERED_AT]
    end
    return nil
end

-- Why the entry is void by its term or by what it judges, nil when it is not.
local function stale(entry)
    local term = (entry[1] == TERMED and entry[3]) or (entry[1] == REGISTRATION and entry[9])
    if not term then
        return nil
    end
    load_terms()
    if not current[term] then
        return 'the leader of term ' .. decimal(term) .. ' was replaced'
    elseif entry[1] == TERMED and entry[4] and entry[4] > tail then
        return 'it judges up to ' .. decimal(entry[4]) .. ', and the log ends at ' .. decimal(tail)
            .. ': it was made for another one'
    end
    return nil
end

-- The row after a move, or nil and why the entry is void.
local function moved(entry, position)
    local row = rows[entry[3]]
    if not row then
        return nil, 'no invocation ' .. entry[3] .. ' is registered'
    end
    local kind, attempt, claim, runner = entry[4], entry[5], entry[6], entry[7]
    local status = MOVES[row[STATUS] .. ':' .. kind]
    if not status then
        return nil, 'no move from ' .. row[STATUS] .. ' by ' .. kind
    end
    local after = {unpack(row, 1, CHANGED_AT)}
    after[STATUS], after[CHANGED_AT] = status, position
    if kind == 'cancelled' then
        return after
    elseif WAITING[row[STATUS]] then
        local expected = row[STATUS] == 'retry' and row[ATTEMPT] + 1 or row[ATTEMPT]
        if attempt ~= expected then
            return nil, 'attempt ' .. attempt .. ', expected ' .. expected
        end
        after[ATTEMPT], after[CLAIM], after[RUNNER] = attempt, claim, runner
        return after
    elseif claim ~= row[CLAIM] then
        return nil, 'another claim holds it'
    elseif attempt ~= row[ATTEMPT] then
        return nil, 'attempt ' .. attempt .. ', expected ' .. row[ATTEMPT]
    elseif WAITING[status] then
        after[CLAIM], after[RUNNER] = '', false
        if kind == 'recovered' then
            after[RECOVERIES] = row[RECOVERIES] + 1
        elseif kind == 'retried' then
            after[NOT_BEFORE] = entry[8]
        end
    end
    return after
end

local function set_row(invocation_id, after)
    if not touched[invocation_id] then
        touched[invocation_id] = true
        touched[#touched + 1] = invocation_id
        before[invocation_id] = rows[invocation_id]
    end
    rows[invocation_id] = after
end

-- Where the entry stands already, or from now on; nil and the reason when it is void.
local function admit(entry, index)
    local position = known_position(entry)
    if position then
        return position
    end
    local reason = stale(entry)
    if reason then
        return nil, reason
    end
    position = tail + 1
    local kind = entry[1]
    if kind == MOVE then
        local after
        after, reason = moved(entry, position)
        if not after then
            return nil, reason
        end
        set_row(entry[3], after)
    elseif kind == REGISTRATION then
        set_row(entry[3], {
            position, entry[5], entry[4], entry[7], entry[8], 'registered', 1, '', false, 0, entry[6], position,
        })
    elseif kind == ELECTED then
        position = math.max(position, election_position())
        load_terms()
        terms[entry[3]], elected[entry[3]], current = position, position, nil
    end
    tail = position
    ids[entry[2]] = position
    accepted[#accepted + 1] = {position, entry[2], index}
    return position
end

local function admit_part(part)
    local index = number
    number = number + #part
    if #part == 1 then
        return admit(part[1], index + 1)
    end
    for _, entry in ipairs(part) do
        local reason = not known_position(entry) and stale(entry)
        if reason then
            return nil, reason
        end
    end
    local first = tail
    for offset, entry in ipairs(part) do
        first = math.min(offset == 1 and math.huge or first, admit(entry, index + offset))
    end
    return first
end

local outcomes = {}
for _, part in ipairs(parts) do
    local position, reason = admit_part(part)
    outcomes[#outcomes + 1] = position or reason
end

if #accepted > 0 then
    for _, each in ipairs(accepted) do
        call('XADD', ENTRIES, decimal(each[1]) .. '-0', 'e', ARGV[DATA + each[3]])
    end
    local pairs_of_ids = {}
    for _, each in ipairs(accepted) do
        pairs_of_ids[#pairs_of_ids + 1] = each[2]
        pairs_of_ids[#pairs_of_ids + 1] = decimal(each[1])
    end
    in_chunks('HSET', IDS, pairs_of_ids)
    for name, position in pairs(elected) do
        call('HSET', TERMS, name, decimal(position))
    end
    local now = #touched > 0 and server_time() or 0
    -- Whom it may interest: runners that wait for work, and the one whose claim is gone.
    local stirs = false
    for _, invocation_id in ipairs(touched) do
        local status = rows[invocation_id][STATUS]
        stirs = stirs or WAITING[status] or status == 'cancelled'
        move_row(log, invocation_id, before[invocation_id], rows[invocation_id], now)
    end
    write_rows()
    log.tail = tail
    log.stirred = log.stirred + (stirs and 1 or 0)
    call('HSET', META, 'tail', decimal(tail), 'last', accepted[#accepted][2], 'stirred', decimal(log.stirred))
    ring(log)
end
if ARGV[4] == '1' then
    call('HINCRBY', META, 'touched', '1')
end
return {log.id, log.tail, log.stirred, outcomes}
