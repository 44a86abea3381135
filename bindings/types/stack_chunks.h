// SPDX-License-Identifier: MIT
#pragma once

namespace triga {

// From now on, and in every interpreter of the process, the stack chunk of a Python thread that ends is kept
// for one that begins. May be called again; needs the GIL.
void keep_stack_chunks() noexcept;

}  // namespace triga
