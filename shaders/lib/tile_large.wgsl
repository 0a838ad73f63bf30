// A tile of 128 x 128 by 32 x 8 invocations, see lib/tile_ahead: each element that is read is used twice as often as
// in lib/tile_wide, and each that is taken out of workgroup memory 1.6 times as often in the columns.
#import tile_ahead

const GROUPS_X = 32u;
const GROUPS_Y = 8u;
