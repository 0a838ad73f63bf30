// A tile of 32 x 32 by 8 x 8 invocations, see lib/tile_memory.
#import tile_memory

const ROW_VECTORS = 1u;
const GROUPS_X = 8u;
const GROUPS_Y = 8u;
