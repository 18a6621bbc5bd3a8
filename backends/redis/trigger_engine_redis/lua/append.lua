-- Appends parts. ARGV: log id, what the parts say, cap of entries (0: none), touch (1: always write), entries' bytes.
-- The parts are one array, which costs less than many: for each part the number of its entries, then of each entry
-- FREE, id; TERMED, id, term, what it judges up to; ELECTED, id, name;
-- REGISTRATION, id, invocation, task, queue, not before, slice from, slice size, term or false;
-- MOVE, id, invocation, kind, attempt, claim, runner, not before.
local FREE, TERMED, ELECTED, REGISTRATION, MOVE = 0, 1, 2, 3, 4
local SIZES = {[FREE] = 2, [TERMED] = 4, [ELECTED] = 3, [REGISTRATION] = 9, [MOVE] = 8}
local DATA = 4

local log = load_log()
local told_parts = unpack_value(ARGV[2])
local size = #told_parts
local cap = tonumber(ARGV[3])

local entry_ids, invocation_ids, swelling = {}, {}, false
local at = 1
while at <= size do
    local count = told_parts[at]
    at = at + 1
    for _ = 1, count do
        local kind = told_parts[at]
        entry_ids[#entry_ids + 1] = told_parts[at + 1]
        if kind == REGISTRATION or kind == MOVE then
            invocation_ids[#invocation_ids + 1] = told_parts[at + 2]
        end
        swelling = swelling or kind == FREE or (kind == REGISTRATION and not told_parts[at + 8])
        at = at + SIZES[kind]
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
local touched = {}
local terms, current
local elected = {}
-- What is accepted: ids and positions, as one array; which of the entries each is.
local accepted, numbers = {}, {}
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

-- In what follows, `at` is where an entry stands in `told_parts`.
local function known_position(at)
    local position = ids[told_parts[at + 1]]
    if position then
        return tonumber(position)
    elseif told_parts[at] == REGISTRATION and rows[told_parts[at + 2]] then
        return rows[told_parts[at + 2]][REGISTERED_AT]
    end
    return nil
end

-- Why the entry is void by its term or by what it judges, nil when it is not.
local function stale(at)
    local kind = told_parts[at]
    local term = (kind == TERMED and told_parts[at + 2]) or (kind == REGISTRATION and told_parts[at + 8])
    if not term then
        return nil
    end
    load_terms()
    local upto = kind == TERMED and told_parts[at + 3]
    if not current[term] then
        return 'the leader of term ' .. decimal(term) .. ' was replaced'
    elseif upto and upto > tail then
        return 'it judges up to ' .. decimal(upto) .. ', and the log ends at ' .. decimal(tail)
            .. ': it was made for another one'
    end
    return nil
end

-- Before a row changes.
local function touch(invocation_id, row)
    if not touched[invocation_id] then
        touched[invocation_id] = true
        touched[#touched + 1] = invocation_id
        if row then
            leave(log, invocation_id, row)
        end
    end
end

-- Moves a row, or says why the entry is void.
local function move(at, position)
    local invocation_id = told_parts[at + 2]
    local row = rows[invocation_id]
    if not row then
        return 'no invocation ' .. invocation_id .. ' is registered'
    end
    local kind, attempt, claim = told_parts[at + 3], told_parts[at + 4], told_parts[at + 5]
    local before = row[STATUS]
    local status = MOVES[before] and MOVES[before][kind]
    if not status then
        return 'no move from ' .. before .. ' by ' .. kind
    end
    if kind ~= 'cancelled' then
        local expected = before == 'retry' and row[ATTEMPT] + 1 or row[ATTEMPT]
        if not WAITING[before] and claim ~= row[CLAIM] then
            return 'another claim holds it'
        elseif attempt ~= expected then
            return 'attempt ' .. attempt .. ', expected ' .. expected
        end
    end
    touch(invocation_id, row)
    row[STATUS], row[CHANGED_AT] = status, position
    if kind == 'cancelled' then
        return nil
    elseif WAITING[before] then
        row[ATTEMPT], row[CLAIM], row[RUNNER] = attempt, claim, told_parts[at + 6]
    elseif WAITING[status] then
        row[CLAIM], row[RUNNER] = '', false
        if kind == 'recovered' then
            row[RECOVERIES] = row[RECOVERIES] + 1
        elseif kind == 'retried' then
            row[NOT_BEFORE] = told_parts[at + 7]
        end
    end
    return nil
end

local function register(at, position)
    local invocation_id = told_parts[at + 2]
    touch(invocation_id, rows[invocation_id])
    rows[invocation_id] = {
        position, told_parts[at + 4], told_parts[at + 3], told_parts[at + 6], told_parts[at + 7], 'registered', 1, '',
        false, 0, told_parts[at + 5], position,
    }
end

-- Where the entry stands already, or from now on; nil and the reason when it is void.
local function admit(at, index)
    local position = known_position(at)
    if position then
        return position
    end
    local reason = stale(at)
    if reason then
        return nil, reason
    end
    position = tail + 1
    local kind, id = told_parts[at], told_parts[at + 1]
    if kind == MOVE then
        reason = move(at, position)
        if reason then
            return nil, reason
        end
    elseif kind == REGISTRATION then
        register(at, position)
    elseif kind == ELECTED then
        position = math.max(position, election_position())
        load_terms()
        terms[told_parts[at + 2]], elected[told_parts[at + 2]], current = position, position, nil
    end
    tail = position
    ids[id] = position
    numbers[#numbers + 1] = index
    accepted[#accepted + 1] = id
    accepted[#accepted + 1] = decimal(position)
    return position
end

local function admit_part(at, count)
    local index = number
    number = number + count
    if count == 1 then
        return admit(at, index + 1)
    end
    local next_at = at
    for _ = 1, count do
        local reason = not known_position(next_at) and stale(next_at)
        if reason then
            return nil, reason
        end
        next_at = next_at + SIZES[told_parts[next_at]]
    end
    local first = math.huge
    for offset = 1, count do
        first = math.min(first, admit(at, index + offset))
        at = at + SIZES[told_parts[at]]
    end
    return first
end

local outcomes = {}
at = 1
while at <= size do
    local count = told_parts[at]
    local position, reason = admit_part(at + 1, count)
    outcomes[#outcomes + 1] = position or reason
    at = at + 1
    for _ = 1, count do
        at = at + SIZES[told_parts[at]]
    end
end

if #numbers > 0 then
    for index, each in ipairs(numbers) do
        call('XADD', ENTRIES, accepted[2 * index], 'e', ARGV[DATA + each])
    end
    in_chunks('HSET', IDS, accepted)
    for name, position in pairs(elected) do
        call('HSET', TERMS, name, decimal(position))
    end
    local now = #touched > 0 and server_time() or 0
    -- Whom it may interest: runners that wait for work, and the one whose claim is gone.
    local stirs = false
    for _, invocation_id in ipairs(touched) do
        local row = rows[invocation_id]
        stirs = stirs or WAITING[row[STATUS]] or row[STATUS] == 'cancelled'
        enter(invocation_id, row, now)
    end
    write_rows()
    log.tail = tail
    log.stirred = log.stirred + (stirs and 1 or 0)
    call('HSET', META, 'tail', decimal(tail), 'last', accepted[#accepted - 1], 'stirred', decimal(log.stirred))
    ring(log)
end
if ARGV[4] == '1' then
    call('HINCRBY', META, 'touched', '1')
end
return {log.id, log.tail, log.stirred, outcomes}
