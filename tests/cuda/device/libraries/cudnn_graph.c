// The graph API of the fake cuDNN, part of cudnn.c. Attributes are checked as cuDNN 9.28 checks them: its statuses were observed on
// descriptors that need no GPU. Where it crashes, as with descriptors of a wrong kind, the fake aborts. Where it lets a mistake pass that its
// header calls one, as a missing mode of a pointwise operation or a tensor with two addresses, the fake does not.
// A plan computes f32 tensors of any strides, in double precision.

enum { NOT_INITIALIZED = 1001, NULL_POINTER = 2002, MISALIGNED = 2003, NOT_FINALIZED = 2004, DUPLICATED = 2009, WRONG_TYPE = 2010, PATTERN = 3001, DATA_TYPE = 3003 };
enum { POINTWISE, CONVOLUTION, ENGINE, CONFIGURATION, HEURISTICS, PLAN, FORWARD = 10, BACKWARD = 12, SUM, GRAPH = 15, PACK, TENSOR };
enum { T_HANDLE, T_DATA, T_BOOLEAN, T_INT64, T_FLOAT, T_POINTER = 6, T_CONVOLUTION_MODE, T_RANKING, T_NUMERICS = 11, T_POINTWISE_MODE = 14, T_DESCRIPTOR, T_BEHAVIOR = 19 };

typedef struct Descriptor Descriptor;
typedef struct { int name; int64_t count; union { int64_t integers[8]; int words[16]; float floats[16]; void *pointers[8]; Descriptor *descriptors[8]; char flags[64]; } as; } Attribute;
struct Descriptor { int kind, is_final, is_alive, engine, used; Attribute attributes[8]; };

// Attributes that can be set: kind of descriptor, name, type, least and largest count, whether it is required.
typedef struct { int kind, name, type, least, most, required; } Rule;
static const Rule rules[] = {
    {TENSOR, 906, T_INT64, 1, 1, 1}, {TENSOR, 901, T_DATA, 1, 1, 1}, {TENSOR, 900, T_INT64, 1, 1, 1}, {TENSOR, 902, T_INT64, 1, 8, 1}, {TENSOR, 903, T_INT64, 1, 8, 1},
    {TENSOR, 907, T_BOOLEAN, 1, 1, 0},
    {CONVOLUTION, 100, T_DATA, 1, 1, 1}, {CONVOLUTION, 101, T_CONVOLUTION_MODE, 1, 1, 1}, {CONVOLUTION, 106, T_INT64, 1, 1, 1},
    {CONVOLUTION, 102, T_INT64, 1, 8, 1}, {CONVOLUTION, 103, T_INT64, 1, 8, 1}, {CONVOLUTION, 104, T_INT64, 1, 8, 1}, {CONVOLUTION, 105, T_INT64, 1, 8, 1},
    {POINTWISE, 0, T_POINTWISE_MODE, 1, 1, 1}, {POINTWISE, 1, T_DATA, 1, 1, 1},
    {FORWARD, 700, T_FLOAT, 1, 1, 1}, {FORWARD, 701, T_FLOAT, 1, 1, 1}, {FORWARD, 702, T_DESCRIPTOR, 1, 1, 1}, {FORWARD, 703, T_DESCRIPTOR, 1, 1, 1},
    {FORWARD, 704, T_DESCRIPTOR, 1, 1, 1}, {FORWARD, 705, T_DESCRIPTOR, 1, 1, 1},
    {BACKWARD, 706, T_FLOAT, 1, 1, 1}, {BACKWARD, 707, T_FLOAT, 1, 1, 1}, {BACKWARD, 708, T_DESCRIPTOR, 1, 1, 1}, {BACKWARD, 709, T_DESCRIPTOR, 1, 1, 1},
    {BACKWARD, 710, T_DESCRIPTOR, 1, 1, 1}, {BACKWARD, 711, T_DESCRIPTOR, 1, 1, 1},
    {SUM, 750, T_DESCRIPTOR, 1, 1, 1}, {SUM, 751, T_DESCRIPTOR, 1, 1, 1}, {SUM, 752, T_DESCRIPTOR, 1, 1, 1}, {SUM, 753, T_DESCRIPTOR, 1, 1, 1},
    {GRAPH, 800, T_HANDLE, 1, 1, 1}, {GRAPH, 801, T_DESCRIPTOR, 1, 8, 1},
    {HEURISTICS, 200, T_RANKING, 1, 1, 1}, {HEURISTICS, 201, T_DESCRIPTOR, 1, 1, 1},
    {PLAN, 400, T_HANDLE, 1, 1, 1}, {PLAN, 401, T_DESCRIPTOR, 1, 1, 1},
    {PACK, 1000, T_INT64, 1, 8, 0}, {PACK, 1001, T_POINTER, 1, 8, 0}, {PACK, 1003, T_POINTER, 1, 1, 0},
};
// The kind of the descriptors that an attribute takes.
static int kind_of(int name) {
    switch (name) {
    case 702: case 708: return CONVOLUTION;
    case 750: return POINTWISE;
    case 201: return GRAPH;
    case 401: return CONFIGURATION;
    default: return TENSOR;
    }
}
// Whether an attribute of an operation is a tensor.
static int is_tensor(int name) { return (name > 702 && name < 706) || (name > 708 && name < 712) || (name > 750 && name < 754); }
static size_t size_of(int type) { return type == T_BOOLEAN ? 1 : type == T_INT64 || type == T_HANDLE || type == T_POINTER || type == T_DESCRIPTOR ? 8 : 4; }

static Attribute *find(Descriptor *d, int name) {
    for (int i = 0; i < d->used; i++) if (d->attributes[i].name == name) return &d->attributes[i];
    return 0;
}
// What an attribute holds, which must have been set. A descriptor that was destroyed must not be used any more.
static Attribute *held(Descriptor *d, int name) { Attribute *a = find(d, name); if (!a) die("cudnnBackend", "a missing attribute is used"); return a; }
static int64_t integer(Descriptor *d, int name) { return held(d, name)->as.integers[0]; }
static Descriptor *linked(Descriptor *d, int name, int i) {
    Descriptor *of = held(d, name)->as.descriptors[i];
    if (!of->is_alive) die("cudnnBackend", "a descriptor that is used was destroyed");
    return of;
}

int cudnnBackendCreateDescriptor(int kind, Descriptor **d) {
    *d = create(sizeof **d);
    **d = (Descriptor){.kind = kind, .is_alive = 1};
    return SUCCESS;
}
int cudnnBackendDestroyDescriptor(Descriptor *d) {
    if (!d->is_alive) die(__func__, "destroyed twice");
    d->is_alive = 0;
    --*alive();
    return SUCCESS;
}
int cudnnBackendSetAttribute(Descriptor *d, int name, int type, int64_t count, const void *values) {
    if (!d->is_alive) die(__func__, "the descriptor was destroyed");
    if (d->is_final) return BAD_PARAM;
    const Rule *rule = 0;
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) if (rules[i].kind == d->kind && rules[i].name == name) rule = &rules[i];
    if (!rule || !values) return BAD_PARAM;
    if (rule->type != type) return rule->type == T_FLOAT ? BAD_PARAM : WRONG_TYPE;
    if (count < rule->least || count > rule->most) return BAD_PARAM;
    if (find(d, name)) die(__func__, "set twice");
    Attribute *a = &d->attributes[d->used++];
    a->name = name, a->count = count;
    memcpy(&a->as, values, (size_t)count * size_of(type));
    for (int64_t i = 0; type == T_DESCRIPTOR && i < count; i++) {
        Descriptor *of = a->as.descriptors[i];
        int is_operation = of->kind == FORWARD || of->kind == BACKWARD || of->kind == SUM;
        if (!of->is_alive || (name == 801 ? !is_operation : of->kind != kind_of(name))) die(__func__, "a descriptor of a wrong kind, or a destroyed one");
        if (name == 801 && !of->is_final) return NOT_FINALIZED;
    }
    return SUCCESS;
}

// Finalising.
static int64_t dimension(Descriptor *tensor, int i) { return held(tensor, 902)->as.integers[i]; }
static int convolves(Descriptor *c, Descriptor *x, Descriptor *w, Descriptor *y) {
    if (dimension(w, 1) != dimension(x, 1) || dimension(w, 0) != dimension(y, 1) || dimension(x, 0) != dimension(y, 0)) return 0;
    for (int i = 0; i < 2; i++) {
        int64_t padded = dimension(x, 2 + i) + held(c, 105)->as.integers[i] + held(c, 104)->as.integers[i] - dimension(w, 2 + i);
        if (held(c, 102)->as.integers[i] != 1 || padded < 0 || padded / held(c, 103)->as.integers[i] + 1 != dimension(y, 2 + i)) return 0;
    }
    return 1;
}
static Descriptor *result(Descriptor *o) { return linked(o, o->kind == FORWARD ? 705 : o->kind == BACKWARD ? 710 : 753, 0); }
static int is_virtual(Descriptor *tensor) { Attribute *a = find(tensor, 907); return a && a->as.flags[0]; }
static int graph_status(Descriptor *g) {
    int count = (int)held(g, 801)->count;
    if (held(g, 800)->as.pointers[0] != alive()) return BAD_PARAM;
    if (refuses("graph-all") || (count > 1 && refuses("graph-terms"))) return PATTERN;
    // A convolution, the bias or the residual before the bias; intermediate results are virtual and are used by the next operation.
    for (int i = 0; i < count; i++) {
        Descriptor *o = linked(g, 801, i);
        if ((i == 0) != (o->kind != SUM) || (i && o->kind == BACKWARD) || (count > 1 && linked(g, 801, 0)->kind == BACKWARD)) return PATTERN;
        if (is_virtual(result(o)) != (i + 1 < count)) return PATTERN;
        if (i && (linked(o, 751, 0) != result(linked(g, 801, i - 1)) || (dimension(linked(o, 752, 0), 2) == 1) != (i + 1 == count))) return PATTERN;
        for (int j = 0; j < o->used; j++)
            if (is_tensor(o->attributes[j].name) && held(linked(o, o->attributes[j].name, 0), 901)->as.words[0] != 0) return DATA_TYPE;
    }
    return count > 3 ? PATTERN : SUCCESS;
}

// Engines of the fake. Those before number 8 break a rule each; 8 refuses, 9 needs much workspace, 10 is the one to choose.
typedef struct { int numerics[2], numeric_count, behavior[1], behavior_count, refused; int64_t workspace; } Engine;
static const Engine engines[] = {
    {{0, 4}, 2, {0}, 0, 0, 16}, {{1}, 1, {0}, 0, 0, 16}, {{0, 2}, 2, {0}, 0, 0, 16}, {{3}, 1, {0}, 0, 0, 16}, {{5, 6}, 2, {0}, 0, 0, 16}, {{77}, 1, {0}, 0, 0, 16},
    {{0}, 1, {0}, 1, 0, 16}, {{0}, 1, {55}, 1, 0, 16}, {{0}, 1, {0}, 0, 1, 16}, {{0, 9}, 2, {3}, 1, 0, 257 << 20}, {{0}, 1, {0}, 0, 0, 3 << 20}, {{0}, 0, {0}, 0, 0, 0},
};
enum { CHOSEN = 10, SECOND = 9, ENGINES = 12 };
// FAKE_RANKING: the ranking that has the acceptable engines, 3 (A, unless given), 1 (B), 2 (fallback), or 0 for none.
static int ranked(int ranking) {
    const char *text = getenv("FAKE_RANKING");
    int full = text ? atoi(text) : 3;
    return ranking == full ? ENGINES : ranking == 3 ? 0 : 8;
}

int cudnnBackendFinalize(Descriptor *d) {
    if (!d->is_alive) die(__func__, "the descriptor was destroyed");
    if (d->is_final || d->kind == ENGINE || d->kind == CONFIGURATION) return BAD_PARAM;
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        if (rules[i].kind != d->kind) continue;
        Attribute *a = find(d, rules[i].name);
        if (!a && rules[i].required) return BAD_PARAM;
        for (int64_t j = 0; a && rules[i].type == T_DESCRIPTOR && j < a->count; j++) if (!linked(d, rules[i].name, (int)j)->is_final) return BAD_PARAM;
    }
    int failure = SUCCESS;
    switch (d->kind) {
    case TENSOR:
        if (held(d, 902)->count != 4 || held(d, 903)->count != 4 || integer(d, 900) <= 0 || integer(d, 900) % 4) return BAD_PARAM;
        for (int i = 0; i < 4; i++) if (dimension(d, i) <= 0 || held(d, 903)->as.integers[i] <= 0) return BAD_PARAM;
        break;
    case CONVOLUTION:
        for (int name = 102; name < 106; name++) if (held(d, name)->count != integer(d, 106)) return BAD_PARAM;
        if (held(d, 101)->as.words[0] != 1 || held(d, 100)->as.words[0] != 0) die(__func__, "not a cross-correlation with sums in f32");
        break;
    case POINTWISE:
        if (held(d, 0)->as.words[0] != 0 || held(d, 1)->as.words[0] != 0) die(__func__, "not an addition in f32");
        break;
    case FORWARD:
        if (!convolves(linked(d, 702, 0), linked(d, 704, 0), linked(d, 703, 0), linked(d, 705, 0))) return BAD_PARAM;
        if (held(d, 700)->as.floats[0] != 1 || held(d, 701)->as.floats[0] != 0) die(__func__, "alpha must be 1 and beta 0");
        break;
    case BACKWARD:
        if (!convolves(linked(d, 708, 0), linked(d, 710, 0), linked(d, 709, 0), linked(d, 711, 0))) return BAD_PARAM;
        if (held(d, 706)->as.floats[0] != 1 || held(d, 707)->as.floats[0] != 0) die(__func__, "alpha must be 1 and beta 0");
        break;
    case SUM:
        for (int i = 0; i < 4; i++) {
            int64_t x = dimension(linked(d, 751, 0), i), b = dimension(linked(d, 752, 0), i);
            if (x != dimension(linked(d, 753, 0), i) || (b != x && b != 1)) return BAD_PARAM;
        }
        break;
    case GRAPH:
        failure = graph_status(d);
        break;
    case PLAN:
        begin(__func__);
        if (held(d, 400)->as.pointers[0] != alive()) return BAD_PARAM;
        d->engine = linked(d, 401, 0)->engine;
        failure = short_of_memory(__func__);
        if (!failure && engines[d->engine].refused) return NOT_SUPPORTED;
        break;
    case PACK:
        if (!find(d, 1000) || !find(d, 1001) || held(d, 1000)->count != held(d, 1001)->count) return BAD_PARAM;
        for (int i = 0; i < held(d, 1000)->count; i++) for (int j = 0; j < i; j++)
            if (held(d, 1000)->as.integers[i] == held(d, 1000)->as.integers[j]) return DUPLICATED;
        break;
    }
    d->is_final = !failure;
    return failure;
}

// Reading.
int cudnnBackendGetAttribute(Descriptor *d, int name, int type, int64_t limit, int64_t *count, void *values) {
    if (!d->is_alive) die(__func__, "the descriptor was destroyed");
    if (!d->is_final) return NOT_INITIALIZED;
    Descriptor **found = values;
    if (d->kind == HEURISTICS && name == 202) {
        int all = ranked(held(d, 200)->as.words[0]);
        if (type != T_DESCRIPTOR) return WRONG_TYPE;
        for (int64_t i = 0; i < limit && i < all; i++) {
            if (found[i]->kind != CONFIGURATION || found[i]->is_final) die(__func__, "not a new descriptor of a configuration");
            found[i]->engine = (int)i, found[i]->is_final = 1;
            found[i]->attributes[0] = *held(d, 201), found[i]->used = 1;
        }
        *count = all;
    } else if (d->kind == CONFIGURATION && name == 300) {
        if (type != T_DESCRIPTOR) return WRONG_TYPE;
        if (limit != 1 || found[0]->kind != ENGINE || found[0]->is_final) die(__func__, "not a new descriptor of an engine");
        found[0]->engine = d->engine, found[0]->is_final = 1, *count = 1;
    } else if (d->kind == ENGINE && (name == 1303 || name == 1305)) {
        const Engine *e = &engines[d->engine];
        if (type != (name == 1303 ? T_NUMERICS : T_BEHAVIOR)) return WRONG_TYPE;
        *count = name == 1303 ? e->numeric_count : e->behavior_count;
        for (int64_t i = 0; i < limit && i < *count; i++) ((int *)values)[i] = name == 1303 ? e->numerics[i] : e->behavior[i];
    } else if (d->kind == PLAN && name == 402) {
        if (type != T_INT64) return WRONG_TYPE;
        if (limit != 1) return BAD_PARAM;
        *(int64_t *)values = engines[d->engine].workspace, *count = 1;
    } else return BAD_PARAM;
    return SUCCESS;
}

// Computing.
typedef struct { Descriptor *pack; double *values[8]; } Run;
static int64_t place(Descriptor *t, int64_t n, int64_t c, int64_t h, int64_t w) {
    const int64_t *s = held(t, 903)->as.integers;
    return n * s[0] + c * s[1] + h * s[2] + w * s[3];
}
static double *at(Run *run, Descriptor *t, int64_t n, int64_t c, int64_t h, int64_t w) {
    double **values = &run->values[integer(t, 906)];
    if (!*values) {
        int64_t count = 1 + place(t, dimension(t, 0) - 1, dimension(t, 1) - 1, dimension(t, 2) - 1, dimension(t, 3) - 1);
        *values = calloc((size_t)count, 8);
        for (int i = 0; i < held(run->pack, 1000)->count; i++) if (held(run->pack, 1000)->as.integers[i] == integer(t, 906)) {
            float *given = memory(held(run->pack, 1001)->as.integers[i], (size_t)count);
            for (int64_t j = 0; j < count; j++) (*values)[j] = given[j];
        }
    }
    return &(*values)[place(t, n, c, h, w)];
}
#define EACH(t, n, c, h, w) for (int64_t n = 0; n < dimension(t, 0); n++) for (int64_t c = 0; c < dimension(t, 1); c++) for (int64_t h = 0; h < dimension(t, 2); h++) for (int64_t w = 0; w < dimension(t, 3); w++)
static void multiply(Run *run, Descriptor *o) {
    int forward = o->kind == FORWARD;
    Descriptor *g = linked(o, forward ? 702 : 708, 0), *x = linked(o, forward ? 704 : 710, 0), *w = linked(o, forward ? 703 : 709, 0), *y = linked(o, forward ? 705 : 711, 0);
    EACH(result(o), n, c, h, v) *at(run, result(o), n, c, h, v) = 0;
    const int64_t *pad = held(g, 105)->as.integers, *stride = held(g, 103)->as.integers;
    EACH(y, n, k, i, j) for (int64_t c = 0; c < dimension(x, 1); c++) for (int64_t r = 0; r < dimension(w, 2); r++) for (int64_t s = 0; s < dimension(w, 3); s++) {
        int64_t h = i * stride[0] - pad[0] + r, v = j * stride[1] - pad[1] + s;
        if (h < 0 || h >= dimension(x, 2) || v < 0 || v >= dimension(x, 3)) continue;
        if (forward) *at(run, y, n, k, i, j) += *at(run, x, n, c, h, v) * *at(run, w, k, c, r, s);
        else *at(run, x, n, c, h, v) += *at(run, y, n, k, i, j) * *at(run, w, k, c, r, s);
    }
}
// An execution with its own copy of the pack, which the caller destroys. The graph lives as long as the plan.
typedef struct { Descriptor *graph; Descriptor pack; int64_t workspace; } Execution;
static void compute(void *data) {
    Execution *e = data;
    Descriptor *graph = e->graph, *pack = &e->pack;
    memory(integer(pack, 1003), (size_t)e->workspace / 4);
    Run run = {pack, {0}};
    for (int i = 0; i < held(graph, 801)->count; i++) {
        Descriptor *o = linked(graph, 801, i);
        if (o->kind != SUM) { multiply(&run, o); continue; }
        Descriptor *x = linked(o, 751, 0), *b = linked(o, 752, 0), *y = linked(o, 753, 0);
        EACH(y, n, c, h, w) *at(&run, y, n, c, h, w) = *at(&run, x, n, c, h, w)
            + *at(&run, b, n % dimension(b, 0), c % dimension(b, 1), h % dimension(b, 2), w % dimension(b, 3));
    }
    Descriptor *y = result(linked(graph, 801, (int)held(graph, 801)->count - 1));
    for (int k = 0; k < held(pack, 1000)->count; k++) if (held(pack, 1000)->as.integers[k] == integer(y, 906))
        EACH(y, n, c, h, w) memory(held(pack, 1001)->as.integers[k] + 4 * place(y, n, c, h, w), 1)[0] = (float)*at(&run, y, n, c, h, w);
    for (int i = 0; i < 8; i++) free(run.values[i]);
}
int cudnnBackendExecute(void *handle, Descriptor *plan, Descriptor *pack) {
    begin(__func__);
    if (handle != alive() || !plan->is_alive || !pack->is_alive || plan->kind != PLAN || pack->kind != PACK) die(__func__, "not a plan and a pack");
    if (!plan->is_final || !pack->is_final) return NOT_FINALIZED;
    if (plan->engine != (getenv("FAKE_WORKSPACE") ? SECOND : CHOSEN)) die(__func__, "not the engine to choose");
    int failure = short_of_memory(__func__);
    if (failure) return failure;
    if (refuses("graph-run")) return NOT_SUPPORTED;
    if (!find(pack, 1003)) return NULL_POINTER;
    Descriptor *graph = linked(linked(plan, 401, 0), 201, 0);
    int expected = 0, count = (int)held(pack, 1000)->count;
    // Every tensor in memory has an address, and no other has.
    for (int i = 0; i < held(graph, 801)->count; i++) {
        Descriptor *o = linked(graph, 801, i);
        for (int j = 0; j < o->used; j++) {
            int name = o->attributes[j].name;
            Descriptor *t = is_tensor(name) ? linked(o, name, 0) : 0;
            if (!t || is_virtual(t)) continue;
            int found = -1;
            for (int k = 0; k < count; k++) if (held(pack, 1000)->as.integers[k] == integer(t, 906)) found = k;
            if (found < 0) return BAD_PARAM;
            if (held(pack, 1001)->as.integers[found] % integer(t, 900)) return MISALIGNED;
            expected++;
        }
    }
    if (expected != count) die(__func__, "addresses of tensors that the graph does not have");
    int status = captured();
    if (status) return status;
    int (*submit)(void (*)(void *), void *, size_t) = of_driver("fake_submit");
    return submit(compute, &(Execution){graph, *pack, engines[plan->engine].workspace}, sizeof(Execution)) ? EXECUTION_FAILED : SUCCESS;
}
